"""A damaged csv file is read as Python's csv module reads it, row numbers aside, or refused by its name."""

import csv
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from damage import CSV_DAMAGE, call_told, check_error, damage_file, make_project
from sklearn.metrics import recall_score

from okkhor.data.tables import read_class_map, read_test_table, read_train_table
from okkhor.errors import InputError
from okkhor.schema import HEADS

pytestmark = pytest.mark.slow


def rows_of(path: Path) -> list[dict[str | None, str]]:
    """Read the rows with Python's own csv module, of UTF-8 or, as Excel saves it, UTF-16 with its mark."""
    content = path.read_bytes()
    text = content.decode("utf-16" if content.startswith(b"\xff\xfe") else "utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture(scope="module")
def project(competition: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the small folder at input/small, its answers and a submission."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    root = folder / "input/small"
    shutil.copytree(competition, root)
    test = pd.read_csv(root / "test.csv")
    usage = np.where(np.arange(len(test)) % 6 < 3, "Public", "Private")
    test = test.assign(target=np.random.default_rng(0).integers(0, 7, len(test)), usage=usage)
    test[["row_id", "target", "usage"]].to_csv(root / "solution.csv", index=False)
    test[["row_id", "target"]].to_csv(folder / "submission.csv", index=False)
    return folder


@pytest.mark.parametrize("name", ["train", "test", "class_map", "sample_submission"])
@pytest.mark.parametrize("seed", range(3 * len(CSV_DAMAGE)))
def test_a_damaged_table_is_read_as_written_or_refused_by_its_name(project: Path, name: str, seed: int) -> None:
    root, path = project / "input/small", project / f"input/small/{name}.csv"
    content = path.read_bytes()
    damage_file(path, content, seed, CSV_DAMAGE)
    try:
        check_tables(root)
    except InputError as error:
        check_error(error, rf"{name}\.csv|class_map\.csv")
    finally:
        path.write_bytes(content)


def check_tables(root: Path) -> None:
    """Compare the tables with those that Python's csv module reads."""
    classes = read_class_map(root)
    assert {(head.name, label): classes[head.name][label] for head in HEADS for label in range(head.num_classes)} == {
        (row["component_type"], int(row["label"])): row["component"] for row in rows_of(root / "class_map.csv")
    }
    for name, table in (("train", read_train_table(root)), ("test", read_test_table(root))):
        expected = rows_of(root / f"{name}.csv")
        for row in expected:
            row.update({head.name: str(int(row[head.name])) for head in HEADS if head.name in row})
            for index in ("", "Unnamed: 0"):
                row.pop(index, None)
        assert [{key: str(value) for key, value in row.items()} for row in table.to_dict("records")] == expected


@pytest.mark.parametrize("name", ["submission.csv", "input/small/solution.csv", "input/small/test.csv"])
@pytest.mark.parametrize("seed", range(2 * len(CSV_DAMAGE)))
def test_a_damaged_submission_has_the_score_of_scikit_learn_or_none(project: Path, name: str, seed: int) -> None:
    content = (project / name).read_bytes()
    damage_file(project / name, content, seed, CSV_DAMAGE)
    try:
        found = call_told(project, "score", "data.root=input/small", "submission=submission.csv")
        if found.returncode == 2:
            assert ".csv" in found.stderr
            return
        scores = {usage: float(score) for usage, score in re.findall(r"(Public|Private) ([\d.]+)", found.stdout)}
        assert scores == pytest.approx(true_scores(project), abs=5e-5)
    finally:
        (project / name).write_bytes(content)


def true_scores(project: Path) -> dict[str, float]:
    """Score the files as Python's csv module reads them, with scikit-learn."""
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
                recall = recall_score(truth, decided, labels=sorted(set(truth)), average="macro")
                total += head.score_weight / 4 * recall
        if any(answers[row["row_id"]]["usage"] == usage for row in test):
            scores[usage] = total
    return scores


@pytest.mark.parametrize("name", ["train.csv", "test.csv", "class_map.csv", "sample_submission.csv", "."])
def test_a_folder_instead_of_a_file_and_a_file_instead_of_the_folder_are_refused(project: Path, name: str) -> None:
    root = project / "input/changed"
    shutil.rmtree(root, ignore_errors=True)
    if name == ".":
        root.write_text("a file")
    else:
        shutil.copytree(project / "input/small", root)
        (root / name).unlink()
        (root / name / "nested").mkdir(parents=True)
    found = call_told(project, "prepare", "config=smoke", "data.root=input/changed", "folds.num_folds=2")
    assert found.returncode == 2
    assert ("data.root" if name == "." else name) in found.stderr
