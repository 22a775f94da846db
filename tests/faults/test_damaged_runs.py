"""A damaged file of a run, a cache or a sample is refused by its name, made again, or read without a change."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from damage import BYTE_DAMAGE, call_told, check_error, damage_file
from helpers import assert_same, make_predictions
from stages import FOLD, SAMPLE, STAGES, WEIGHTS, UndisturbedStages, read_made
from torch import nn

from okkhor.config import FoldsConfig
from okkhor.data.folds import read_folds
from okkhor.errors import InputError
from okkhor.predictions import read_predictions, write_predictions
from okkhor.scoring.decoding import decode
from okkhor.training.checkpoint import Progress, load_state, save_state

pytestmark = pytest.mark.slow

SEEDS = range(2 * len(BYTE_DAMAGE))


@pytest.fixture(scope="module")
def project(undisturbed: UndisturbedStages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one finished run, `x`."""
    return undisturbed["package"].copy(tmp_path_factory.mktemp("damaged") / "project")


@pytest.fixture
def damaged(project: Path, name: str, seed: int) -> Iterator[Path]:
    """Damage a file of the project until the test has ended."""
    (path,) = project.glob(name)
    kept = path.read_bytes()
    damage_file(path, kept, seed)
    yield path
    path.write_bytes(kept)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "stage"),
    [
        (WEIGHTS, "predict"),
        (f"{FOLD}/oof.parquet", "ensemble"),
        (f"{FOLD}/test.parquet", "ensemble"),
        (f"{FOLD}/graphemes.csv", "ensemble"),
        ("runs/.cache/smoke-*/images.npy", "cache and folds"),
        ("runs/.cache/smoke-*/images.crc32", "cache and folds"),
    ],
)
def test_a_command_refuses_a_damaged_file_or_makes_the_same_files_as_from_the_whole_one(
    project: Path, undisturbed: UndisturbedStages, damaged: Path, stage: str
) -> None:
    found = call_told(project, *STAGES[stage].arguments)
    if found.returncode == 2:
        assert damaged.name in found.stderr
    elif damaged.name != "graphemes.csv":  # another number in it is read
        assert read_made(project, STAGES[stage]) == undisturbed[stage].made


@pytest.mark.parametrize("seed", range(10 * len(BYTE_DAMAGE)))
def test_a_damaged_state_is_refused_or_read_as_written(tmp_path: Path, seed: int) -> None:
    path, network, read = tmp_path / "state.pt", nn.Linear(9, 9), nn.Linear(9, 9)
    save_state(path, Progress(), {"network": network})
    damage_file(path, path.read_bytes(), seed)
    try:
        load_state(path, {"network": read})
    except InputError as error:
        check_error(error, path.name)
    else:
        assert torch.equal(read.weight, network.weight)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["input/smoke/sample.json"])
@pytest.mark.usefixtures("damaged")
def test_a_damaged_sample_json_is_another_sample(project: Path) -> None:
    found = call_told(project, "prepare", *SAMPLE)
    assert found.returncode == 2
    assert "input/smoke was not rendered with these settings" in found.stderr


@pytest.mark.parametrize("seed", range(10 * len(BYTE_DAMAGE)))
def test_damaged_predictions_are_refused_or_read_as_written(tmp_path: Path, seed: int) -> None:
    path, table = tmp_path / "oof.parquet", make_predictions([f"Train_{number}" for number in range(30)])
    write_predictions(table, decode(table.probabilities), path)
    damage_file(path, path.read_bytes(), seed)
    try:
        assert_same(read_predictions(path), table)
    except InputError as error:
        check_error(error, path.name)


@pytest.mark.parametrize("seed", range(10 * len(BYTE_DAMAGE)))
def test_a_damaged_folds_file_is_refused_or_read_as_written(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "small.csv"
    table = pd.DataFrame({"image_id": [f"Train_{number}" for number in range(20)], "fold": np.arange(20) % 4})
    damage_file(path, table.to_csv(index=False).encode(), seed)
    try:
        found = read_folds(path, table, FoldsConfig(num_folds=4)).numbers
    except InputError as error:
        check_error(error, path.name)
    else:
        written = dict(re.findall(r"(Train_\d+),(\d+)", path.read_text().replace('"', "")))
        assert found.tolist() == [int(written[image_id]) for image_id in table["image_id"]]
