"""The submission: the rows of test.csv in its order, whatever the order of shards and predictions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import Refused

from okkhor.data.tables import read_test_table
from okkhor.errors import InputError
from okkhor.schema import HEADS
from okkhor.scoring.metric import macro_recall
from okkhor.scoring.submission import check_submission, make_submission, score_submission, write_submission

IMAGE_IDS = np.array(["Test_0", "Test_1", "Test_2", "Test_3"])
DECODED = {
    "grapheme_root": np.array([100, 101, 102, 103]),
    "vowel_diacritic": np.array([7, 8, 9, 10]),
    "consonant_diacritic": np.array([0, 1, 2, 3]),
}


@pytest.fixture
def listed(competition: Path) -> pd.DataFrame:
    return read_test_table(competition)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_rows_come_in_the_order_of_test_csv_each_with_its_own_target(
    competition: Path, listed: pd.DataFrame, order: list[int]
) -> None:
    decoded = {name: labels[order] for name, labels in DECODED.items()}
    submission = make_submission(listed, IMAGE_IDS[order], decoded)
    lines = (competition / "test.csv").read_text().splitlines()[1:]
    assert submission["row_id"].tolist() == [line.split(",")[0] for line in lines]
    for row_id, target in submission.itertuples(index=False):
        _, number, head = row_id.split("_", 2)
        assert target == DECODED[head][int(number)]


def test_components_in_another_order_get_their_own_targets(listed: pd.DataFrame) -> None:
    mixed = listed.sample(frac=1, random_state=0).reset_index(drop=True)
    submission = make_submission(mixed, IMAGE_IDS, DECODED)
    assert submission["row_id"].tolist() == mixed["row_id"].tolist()
    assert dict(submission.to_numpy())["Test_3_vowel_diacritic"] == 10


def test_the_written_file_is_what_kaggle_wants(competition: Path, listed: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "submissions" / "x.csv"
    write_submission(make_submission(listed, IMAGE_IDS, DECODED), listed, path)
    header, *rows = path.read_text().splitlines()
    sample = (competition / "sample_submission.csv").read_text().splitlines()
    assert header == sample[0] == "row_id,target"
    assert [row.split(",")[0] for row in rows] == [row.split(",")[0] for row in sample[1:]]
    assert all(row.split(",")[1].isdecimal() for row in rows)


@pytest.mark.parametrize("row_id", ["7", "NA", "1e3", "007"])
def test_a_row_id_that_looks_like_a_number_or_like_nothing_is_kept(tmp_path: Path, row_id: str) -> None:
    test = pd.DataFrame({"row_id": [row_id], "image_id": ["a"], "component": ["vowel_diacritic"]})
    write_submission(pd.DataFrame({"row_id": [row_id], "target": [3]}), test, tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == f"row_id,target\n{row_id},3\n"


def test_an_image_without_a_prediction_is_refused_by_name(listed: pd.DataFrame) -> None:
    decoded = {name: labels[:3] for name, labels in DECODED.items()}
    with pytest.raises(InputError, match="Test_3"):
        make_submission(listed, IMAGE_IDS[:3], decoded)


Change = Callable[[pd.DataFrame], pd.DataFrame]
SUBMISSION_FAULTS: dict[str, tuple[Change, list[str]]] = {
    "a row too few": (lambda s: s[:-1], ["11 rows, expected 12"]),
    "another order": (lambda s: s[::-1].reset_index(drop=True), ["line 2", "expected Test_2_consonant_diacritic"]),
    "a row twice": (
        lambda s: s.assign(row_id=[*s["row_id"][:-1], s["row_id"][0]]),
        ["line 13", "row_id is Test_2_con"],
    ),
    "a label out of range": (lambda s: s.assign(target=[7, *s["target"][1:]]), ["line 2", "target is 7", "0 to 6"]),
    "a negative label": (lambda s: s.assign(target=[*s["target"][:-1], -1]), ["line 13", "target is -1", "0 to 10"]),
    "other columns": (lambda s: s.rename(columns={"target": "label"}), ["row_id,target, found row_id,label"]),
}


@pytest.mark.parametrize("fault", SUBMISSION_FAULTS)
def test_a_faulty_submission_is_refused_with_its_line(listed: pd.DataFrame, refused: Refused, fault: str) -> None:
    change, words = SUBMISSION_FAULTS[fault]
    submission = change(make_submission(listed, IMAGE_IDS, DECODED))
    refused(["x.csv", *words], check_submission, submission, listed, "x.csv")


def test_a_faulty_submission_leaves_no_file_and_no_part_of_one(listed: pd.DataFrame, tmp_path: Path) -> None:
    submission = make_submission(listed, IMAGE_IDS, DECODED)[::-1]
    (tmp_path / "x.csv").write_text("the old one")
    with pytest.raises(InputError):
        write_submission(submission, listed, tmp_path / "x.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
    assert (tmp_path / "x.csv").read_text() == "the old one"


def test_public_and_private_are_scored_apart_as_the_metric_scores_them(listed: pd.DataFrame) -> None:
    submission = make_submission(listed, IMAGE_IDS, DECODED)
    usage = listed["image_id"].map({"Test_0": "Public", "Test_1": "Public", "Test_2": "Private", "Test_3": "Private"})
    solution = submission.assign(usage=usage)
    solution.loc[solution["row_id"] == "Test_3_grapheme_root", "target"] = 5
    solution.loc[solution["row_id"] == "Test_2_vowel_diacritic", "target"] = 10
    shuffled = solution.sample(frac=1, random_state=1)
    scores = score_submission(submission, shuffled, listed)
    assert list(scores) == ["Public", "Private"]
    assert scores["Public"] == 1
    root = macro_recall(np.array([102, 5]), np.array([102, 103]))
    vowel = macro_recall(np.array([10, 10]), np.array([9, 10]))
    assert (root, vowel) == (0.5, 0.5)
    assert scores["Private"] == pytest.approx((2 * root + vowel + 1) / 4)


def test_a_solution_without_a_row_is_refused(listed: pd.DataFrame) -> None:
    submission = make_submission(listed, IMAGE_IDS, DECODED)
    with pytest.raises(InputError, match="Test_1_vowel_diacritic"):
        score_submission(submission, submission.assign(usage="Public")[:-1], listed)


def test_every_head_is_in_the_submission(listed: pd.DataFrame) -> None:
    submission = make_submission(listed, IMAGE_IDS, DECODED)
    for head in HEADS:
        assert submission["row_id"].str.endswith(head.name).sum() == len(IMAGE_IDS)
