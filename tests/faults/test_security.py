"""Files that try to run code do not, and no name or id leads out of its folder."""

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from damage import STRANGE_CELLS
from helpers import Refused
from tries import call, in_project

from okkhor.config import DataConfig
from okkhor.data.cache import build_cache, open_cache
from okkhor.data.competition import TrainSet
from okkhor.data.tables import read_csv
from okkhor.errors import ConfigError, InputError
from okkhor.models.weights import read_weights
from okkhor.settings import load_arguments, load_stored
from okkhor.training.checkpoint import load_state


class Evil:
    """Pickled, it is an order to make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (subprocess.call, (["touch", str(self.path)],))


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """What a file makes when it runs code."""
    return tmp_path / "code was run"


@pytest.mark.parametrize("legacy", [False, True])
def test_a_state_that_holds_an_order_is_refused_unread(
    tmp_path: Path, trap: Path, refused: Refused, legacy: bool
) -> None:
    path = tmp_path / "state.pt"
    torch.save({"progress": Evil(trap), "network": {}}, path, _use_new_zipfile_serialization=not legacy)
    refused(["state.pt", "can't resume from this file"], load_state, path, {"network": torch.nn.Linear(1, 1)})
    assert not trap.exists()
    torch.load(path, weights_only=False)  # the order itself works
    assert trap.exists()


def test_weights_that_hold_an_order_are_refused_unread(tmp_path: Path, trap: Path, refused: Refused) -> None:
    path = tmp_path / "model.safetensors"
    torch.save(Evil(trap), path)
    refused(["model.safetensors", "not a whole .safetensors file"], read_weights, path)
    assert not trap.exists()


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:subprocess.call [[touch, '{trap}']]",
        "run: !!python/object/apply:subprocess.call [[touch, '{trap}']]",
        "!!python/object/new:os.system [\"touch '{trap}'\"]",
        "run: !!python/name:os.system",
    ],
)
def test_a_config_yaml_that_holds_an_order_is_refused(tmp_path: Path, trap: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("{trap}", str(trap)))
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        load_stored(path)
    assert not trap.exists()


def test_a_cache_that_holds_an_order_is_built_again(train_set: TrainSet, tmp_path: Path, trap: Path) -> None:
    settings = DataConfig(root="input/small", size=16, cache_dir=str(tmp_path / "cache"))
    path = build_cache(train_set, settings)
    whole = open_cache(path).copy()
    np.save(path, np.array([Evil(trap)], dtype=object), allow_pickle=True)
    np.testing.assert_array_equal(open_cache(build_cache(train_set, settings)), whole)
    assert not trap.exists()


OUTSIDE = (
    "../x",
    "../../x",
    "/tmp/x",
    "a/b",
    "a/../../x",
    "..",
    ".",
    ".x",
    "-x",
    "~",
    "a\\b",
    "a:b",
    "a\0b",
    "a\nb",
    "=x",
)


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("key", ["run", "name", "data.pseudo", "model.init_from"])
def test_a_name_that_would_leave_its_folder_is_refused(key: str, name: str) -> None:
    with pytest.raises(ConfigError, match=key):
        load_arguments([f"{key}={name}"])


@pytest.mark.parametrize("command", ["train", "score", "predict", "ensemble"])
def test_no_command_makes_or_reads_a_run_outside_of_runs(tmp_path: Path, command: str) -> None:
    project = in_project(tmp_path / "project")
    for run in ("../../x", f"{tmp_path}/x", "..", "x/../../../y"):
        for setting in (f"run={run}", f"runs=[{run}]", f"runs=[{run}@tta3]"):
            assert call(project, command, setting, "name=n", "config=smoke")[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["project"]
    assert [path.name for path in project.iterdir()] == ["configs"]


@pytest.mark.parametrize("cell", [cell for cell in STRANGE_CELLS if cell])
def test_an_id_is_plain_text_or_refused(tmp_path: Path, cell: str) -> None:
    """Whatever is accepted can be written into any csv: no spreadsheet takes it for a formula, no terminal obeys."""
    path = tmp_path / "a.csv"
    pd.DataFrame({"image_id": [cell, "other"]}).to_csv(path, index=False)
    try:
        found = read_csv(path, ("image_id",))["image_id"].iloc[0]
    except InputError:
        return
    assert found == cell
    assert found.lstrip("-").isdigit() or found[0] not in "=+-@\t\r"
    assert len(found) <= 200
    assert "\n" not in found
    assert "\x1b" not in found
