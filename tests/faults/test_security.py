"""Files that try to run code do not run it, and no name or id leads out of its folder."""

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from damage import STRANGE_CELLS, call_told, make_project
from helpers import Refused

from okkhor.config import DataConfig
from okkhor.data.cache import build_cache, open_cache
from okkhor.data.competition import TrainSet
from okkhor.data.tables import read_csv
from okkhor.errors import ConfigError, InputError
from okkhor.models.weights import read_weights
from okkhor.settings import load_arguments, load_stored
from okkhor.training.checkpoint import load_state


class Evil:
    """A pickle of this object makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (subprocess.call, (["touch", str(self.path)],))


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """The file that a loaded pickle would make."""
    return tmp_path / "code was run"


@pytest.mark.parametrize("legacy", [False, True])
def test_a_state_with_code_is_refused_and_the_code_not_run(
    tmp_path: Path, trap: Path, refused: Refused, legacy: bool
) -> None:
    path = tmp_path / "state.pt"
    torch.save({"progress": Evil(trap), "network": {}}, path, _use_new_zipfile_serialization=not legacy)
    refused(["state.pt"], load_state, path, {"network": torch.nn.Linear(1, 1)})
    assert not trap.exists()
    torch.load(path, weights_only=False)  # the code itself works
    assert trap.exists()


def test_weights_with_code_are_refused_and_the_code_not_run(tmp_path: Path, trap: Path, refused: Refused) -> None:
    path = tmp_path / "model.safetensors"
    torch.save(Evil(trap), path)
    refused(["model.safetensors"], read_weights, path)
    assert not trap.exists()


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:subprocess.call [[touch, '{trap}']]",
        "run: !!python/object/new:os.system [\"touch '{trap}'\"]",
        "run: !!python/name:os.system",
    ],
)
def test_a_config_yaml_with_code_is_refused_and_the_code_not_run(tmp_path: Path, trap: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("{trap}", str(trap)))
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        load_stored(path)
    assert not trap.exists()


@pytest.mark.slow
def test_a_cache_with_code_is_built_again_and_the_code_not_run(train_set: TrainSet, tmp_path: Path, trap: Path) -> None:
    settings = DataConfig(root="input/small", size=16, cache_dir=str(tmp_path / "cache"))
    path = build_cache(train_set, settings)
    whole = open_cache(path).copy()
    np.save(path, np.array([Evil(trap)], dtype=object), allow_pickle=True)
    np.testing.assert_array_equal(open_cache(build_cache(train_set, settings)), whole)
    assert not trap.exists()


@pytest.mark.parametrize("key", ["run", "name", "data.pseudo", "model.init_from"])
def test_a_name_that_would_leave_its_folder_is_refused(key: str) -> None:
    for name in ("../x", "/tmp/x", "a/b", "a/../../x", "..", ".", ".x", "-x", "~", "a\\b", "a:b", "a\0b", "a\nb", "=x"):
        with pytest.raises(ConfigError, match=key):
            load_arguments([f"{key}={name}"])


@pytest.mark.parametrize("command", ["train", "score", "predict", "ensemble"])
def test_no_command_makes_or_reads_a_run_outside_of_runs(tmp_path: Path, command: str) -> None:
    project = make_project(tmp_path / "project")
    for run in ("../../x", f"{tmp_path}/x", "x/../../../y"):
        for setting in (f"run={run}", f"runs=[{run}]", f"runs=[{run}@tta3]"):
            assert call_told(project, command, setting, "name=n", "config=smoke").returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["project"]
    assert [path.name for path in project.iterdir()] == ["configs"]


def test_an_id_is_plain_text_or_refused(tmp_path: Path) -> None:
    """An accepted id is safe in any csv: no spreadsheet takes it for a formula, no terminal for an order."""
    path, accepted = tmp_path / "a.csv", 0
    for cell in STRANGE_CELLS:
        pd.DataFrame({"image_id": [cell, "other"]}).to_csv(path, index=False)
        try:
            found = read_csv(path, ("image_id",))["image_id"].iloc[0]
        except InputError:
            continue
        accepted += 1
        assert found == cell
        assert found.lstrip("-").isdigit() or found[0] not in "=+-@\t\r"
        assert len(found) <= 200
        assert "\n" not in found
        assert "\x1b" not in found
    assert accepted > 10
