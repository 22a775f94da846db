"""csv files that went wrong are read as they stand, or refused with the file's name; never a traceback or a guess."""

import csv
import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from damage import BYTE_DAMAGE, CSV_DAMAGE
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import recall_score
from tries import Mutation, call, in_project, property_settings, record

from okkhor.commands import prepare as prepare_command
from okkhor.commands import score as score_command
from okkhor.config import FoldsConfig
from okkhor.data import competition as competition_module
from okkhor.data.competition import TestSet as ImagesToRead
from okkhor.data.competition import TrainSet
from okkhor.data.folds import FOLDS, read_folds
from okkhor.data.shards import Shard
from okkhor.data.tables import read_class_map, read_test_table, read_train_table
from okkhor.schema import HEADS
from okkhor.settings import load_arguments

DAMAGE = st.sampled_from((*BYTE_DAMAGE, *CSV_DAMAGE))
RANDOM = st.integers(0, 2**32).map(Random)


def rows_of(path: Path) -> list[dict[str | None, str]]:
    """The file as Python's own csv module reads it, by column."""
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


@pytest.fixture(scope="module")
def project(competition: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the small folder at input/small, and its answers."""
    folder = in_project(tmp_path_factory.mktemp("project"))
    shutil.copytree(competition, folder / "input/small")
    test = pd.read_csv(folder / "input/small/test.csv")
    usage = np.where(np.arange(len(test)) % 6 < 3, "Public", "Private")
    targets = np.random.default_rng(0).integers(0, 7, len(test))
    test.assign(target=targets, usage=usage)[["row_id", "target", "usage"]].to_csv(
        folder / "input/small/solution.csv", index=False
    )
    test.assign(target=targets)[["row_id", "target"]].to_csv(folder / "submission.csv", index=False)
    return folder


@pytest.fixture
def _known_rest(train_set: TrainSet, test_set: ImagesToRead) -> Iterator[None]:
    """Shards and settings are read once, which takes a quarter of a second each."""
    known: dict[str, tuple[Shard, ...]] = {"train": train_set.shards, "test": test_set.shards}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(competition_module, "open_shards", lambda _root, split: known[split])
        patch.setattr(prepare_command, "build_cache", lambda *_: Path("nowhere"))
        config = load_arguments(["data.root=input/small", "folds.num_folds=2", "submission=submission.csv"])
        patch.setattr(prepare_command, "load_config", lambda _: config)
        patch.setattr(score_command, "load_arguments", lambda _: config)
        yield


@contextmanager
def damaged(path: Path, mutation: Mutation, random: Random) -> Iterator[None]:
    """The file is changed meanwhile."""
    content = path.read_bytes()
    path.write_bytes(mutation(content, random))
    try:
        yield
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["train", "test", "class_map", "sample_submission"])
@given(mutation=DAMAGE, random=RANDOM)
@property_settings(40, 1000)
@pytest.mark.usefixtures("_known_rest")
def test_a_damaged_table_is_read_as_it_stands_or_refused_by_name(
    project: Path, name: str, mutation: Mutation, random: Random
) -> None:
    root = project / "input/small"
    with damaged(root / f"{name}.csv", mutation, random):
        (project / FOLDS / "small.csv").unlink(missing_ok=True)
        status, _, told = call(project, "prepare")
        record(f"{name}.csv: {mutation.__name__}", ("read", "", "refused")[status])
        if status == 2:
            assert re.search(rf"{name}\.csv|small\.csv|class_map\.csv|folds|_image_data_", told), told
            return
        check_as_it_stands(root)
        table = read_train_table(root)
        read_folds(project / FOLDS / "small.csv", table, FoldsConfig(num_folds=2))


def check_as_it_stands(root: Path) -> None:
    """What was read is what another reader finds."""
    classes = read_class_map(root)
    rows = rows_of(root / "class_map.csv")
    by_label = {(row["component_type"], int(row["label"])): row["component"] for row in rows}
    assert {
        (head.name, label): classes[head.name][label] for head in HEADS for label in range(head.num_classes)
    } == by_label
    for name, table in (("train", read_train_table(root)), ("test", read_test_table(root))):
        expected = rows_of(root / f"{name}.csv")
        for row in expected:
            row.update({head.name: str(int(row[head.name])) for head in HEADS if head.name in row})
            for name in ("", "Unnamed: 0"):  # an index, which is dropped
                row.pop(name, None)
        assert [{key: str(value) for key, value in row.items()} for row in table.to_dict("records")] == expected


@pytest.mark.parametrize("name", ["submission.csv", "input/small/solution.csv", "input/small/test.csv"])
@given(mutation=DAMAGE, random=RANDOM)
@property_settings(25, 800)
@pytest.mark.usefixtures("_known_rest")
def test_a_damaged_submission_has_its_true_score_or_none(
    project: Path, name: str, mutation: Mutation, random: Random
) -> None:
    with damaged(project / name, mutation, random):
        status, out, told = call(project, "score")
        record(f"score, {Path(name).name}: {mutation.__name__}", ("read", "", "refused")[status])
        if status == 2:
            assert ".csv" in told
            return
        expected = true_scores(project)
        found = {name: float(score) for name, score in re.findall(r"(Public|Private) ([\d.]+)", out)}
        assert found == pytest.approx(expected, abs=5e-5)


def true_scores(project: Path) -> dict[str, float]:
    """By scikit-learn, of the files as Python's own csv module reads them."""
    test, solution = rows_of(project / "input/small/test.csv"), rows_of(project / "input/small/solution.csv")
    answers = {row["row_id"]: row for row in solution}
    targets = {row["row_id"]: int(row["target"]) for row in rows_of(project / "submission.csv")}
    scores = {}
    for usage in ("Public", "Private"):
        total = 0.0
        for head in HEADS:
            ids = [r["row_id"] for r in test if r["component"] == head.name and answers[r["row_id"]]["usage"] == usage]
            truth = [int(answers[row_id]["target"]) for row_id in ids]
            decided = [targets[row_id] for row_id in ids]
            if truth:
                total += (
                    head.score_weight / 4 * recall_score(truth, decided, labels=sorted(set(truth)), average="macro")
                )
        if any(answers[row["row_id"]]["usage"] == usage for row in test):
            scores[usage] = total
    return scores


@pytest.mark.parametrize("name", ["train.csv", "test.csv", "class_map.csv", "sample_submission.csv", "."])
def test_a_folder_in_the_place_of_a_file_and_the_reverse_are_refused(project: Path, name: str, tmp_path: Path) -> None:
    root = tmp_path / "small"
    shutil.copytree(project / "input/small", root)
    if name == ".":
        shutil.rmtree(root)
        root.write_text("a file")
    else:
        (root / name).unlink(missing_ok=True)
        (root / name / "nested").mkdir(parents=True)
    status, _, told = call(project, "prepare", "config=smoke", f"data.root={root}", "folds.num_folds=2")
    assert status == 2
    assert ("data.root" if name == "." else name) in told
