"""The submission: the rows of test.csv in its order, whatever the order of shards and predictions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import Refused

from okkhor.errors import InputError
from okkhor.label_triples import Labels
from okkhor.schema import SUBMISSION_ORDER
from okkhor.scoring.metric import macro_recall
from okkhor.scoring.submission import check_submission, make_submission, score_submission, write_submission

IMAGE_IDS = np.array(["Test_0", "Test_1", "Test_2", "Test_3"])
DECODED = Labels(np.array([[100, 7, 0], [101, 8, 1], [102, 9, 2], [103, 10, 3]]))
ROWS = [(f"Test_{k}_{name}", f"Test_{k}", name) for k in (2, 0, 3, 1) for name in SUBMISSION_ORDER]  # of test.csv
LISTED = pd.DataFrame(ROWS, columns=["row_id", "image_id", "component"])
SUBMISSION = make_submission(LISTED, IMAGE_IDS, DECODED)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_rows_come_in_the_order_of_test_csv_each_with_its_own_target(order: list[int]) -> None:
    for table in (LISTED, LISTED.sample(frac=1, random_state=0).reset_index(drop=True)):
        submission = make_submission(table, IMAGE_IDS[order], DECODED.rows(np.array(order)))
        assert submission["row_id"].tolist() == table["row_id"].tolist()
        for row_id, target in submission.itertuples(index=False):
            _, number, head = row_id.split("_", 2)
            assert target == DECODED[head][int(number)]


def test_the_written_file_is_what_kaggle_wants(tmp_path: Path) -> None:
    path = tmp_path / "submissions" / "x.csv"
    write_submission(SUBMISSION, LISTED, path)
    header, first, *rows = path.read_text().splitlines()
    assert (header, first, len(rows)) == ("row_id,target", "Test_2_consonant_diacritic,2", 11)


@pytest.mark.parametrize("row_id", ["7", "NA", "1e3", "007"])
def test_a_row_id_that_looks_like_a_number_or_like_nothing_is_kept(tmp_path: Path, row_id: str) -> None:
    test = pd.DataFrame({"row_id": [row_id], "image_id": ["a"], "component": ["vowel_diacritic"]})
    write_submission(pd.DataFrame({"row_id": [row_id], "target": [3]}), test, tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == f"row_id,target\n{row_id},3\n"


def test_an_image_without_a_prediction_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="Test_3"):
        make_submission(LISTED, IMAGE_IDS[:3], DECODED.rows(slice(3)))


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
def test_a_faulty_submission_is_refused_with_its_line(refused: Refused, fault: str) -> None:
    change, words = SUBMISSION_FAULTS[fault]
    refused(["x.csv", *words], check_submission, change(SUBMISSION), LISTED, "x.csv")


def test_a_faulty_submission_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("the old one")
    with pytest.raises(InputError):
        write_submission(SUBMISSION[::-1], LISTED, tmp_path / "x.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
    assert (tmp_path / "x.csv").read_text() == "the old one"


def test_public_and_private_are_scored_apart_as_the_metric_scores_them() -> None:
    usage = np.where(LISTED["image_id"] < "Test_2", "Public", "Private")
    solution = SUBMISSION.assign(usage=usage)
    solution.loc[solution["row_id"] == "Test_3_grapheme_root", "target"] = 5
    solution.loc[solution["row_id"] == "Test_2_vowel_diacritic", "target"] = 10
    scores = score_submission(SUBMISSION, solution.sample(frac=1, random_state=1), LISTED)
    assert list(scores) == ["Public", "Private"]
    assert scores["Public"] == 1
    root = macro_recall(np.array([102, 5]), np.array([102, 103]))
    vowel = macro_recall(np.array([10, 10]), np.array([9, 10]))
    assert (root, vowel) == (0.5, 0.5)
    assert scores["Private"] == pytest.approx((2 * root + vowel + 1) / 4)


def test_a_solution_without_a_row_is_refused() -> None:
    with pytest.raises(InputError, match="Test_1_vowel_diacritic"):
        score_submission(SUBMISSION, SUBMISSION.assign(usage="Public")[:-1], LISTED)
