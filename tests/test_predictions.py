"""The predictions table: kept without loss, readable with pandas alone, refused where it is damaged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import Refused, assert_same, make_predictions

from okkhor.errors import InputError
from okkhor.predictions import Predictions, concatenate, read_predictions, take, write_predictions
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode

IDS = [f"Train_{k}" for k in (7, 3, 11, 0, 5)]


@pytest.fixture
def out_of_fold() -> Predictions:
    return make_predictions(IDS)


@pytest.fixture
def written(out_of_fold: Predictions, tmp_path: Path) -> Path:
    path = tmp_path / "oof.parquet"
    write_predictions(out_of_fold, decode(out_of_fold.probabilities), path)
    return path


def with_everything(image_ids: list[str]) -> Predictions:
    """With probabilities of a grapheme head, and with a mark at the images of unseen graphemes."""
    marginals, unseen = make_predictions(image_ids, seed=1).probabilities, np.arange(len(image_ids)) % 3 == 0
    return replace(make_predictions(image_ids), marginals=marginals, unseen=unseen)


@pytest.mark.parametrize(
    "predictions",
    [with_everything(IDS), make_predictions(IDS), make_predictions(IDS, labelled=False)],
    ids=["everything", "labels", "test"],
)
def test_a_table_survives_the_disk_bit_for_bit(predictions: Predictions, tmp_path: Path) -> None:
    write_predictions(predictions, decode(predictions.probabilities), tmp_path / "oof.parquet")
    back = read_predictions(tmp_path / "oof.parquet")
    assert_same(back, predictions)
    assert {values.dtype for values in back.probabilities.values()} == {np.dtype(np.float32)}


def test_a_table_of_other_test_images_is_refused_and_an_older_one_is_read(
    written: Path, out_of_fold: Predictions, refused: Refused
) -> None:
    """Issue 25, item 1 (a): 0.2.0 noted nothing in the table."""
    assert_same(read_predictions(written, "one"), out_of_fold)
    write_predictions(out_of_fold, decode(out_of_fold.probabilities), written, "one")
    assert_same(read_predictions(written, "one"), out_of_fold)
    refused(["oof.parquet", "other test images", "./run.sh predict"], read_predictions, written, "two")


def test_pandas_alone_reads_ids_labels_decisions_and_probabilities(tmp_path: Path) -> None:
    predictions = with_everything(IDS)
    assert predictions.labels is not None
    assert predictions.marginals is not None
    write_predictions(predictions, decode(predictions.probabilities), tmp_path / "oof.parquet")
    table = pd.read_parquet(tmp_path / "oof.parquet")
    endings = ("", "_pred", "_prob", "_grapheme_prob")
    assert list(table) == ["image_id", *(f"{name}{ending}" for name in HEAD_NAMES for ending in endings), "unseen"]
    assert table["image_id"].tolist() == IDS
    assert table["unseen"].tolist() == [True, False, False, True, False]
    for name in HEAD_NAMES:
        probabilities = np.stack(table[f"{name}_prob"])
        assert probabilities.dtype == np.float32
        np.testing.assert_array_equal(probabilities, predictions.probabilities[name])
        np.testing.assert_array_equal(probabilities.argmax(axis=1), table[f"{name}_pred"])
        np.testing.assert_array_equal(np.stack(table[f"{name}_grapheme_prob"]), predictions.marginals[name])
        np.testing.assert_array_equal(table[name], predictions.labels[name])


def test_rows_are_taken_by_number_or_by_flag_of_every_column() -> None:
    two = take(with_everything(IDS), np.array([4, 3]))
    assert two.image_ids.tolist() == ["Train_5", "Train_0"]
    assert two.unseen is not None
    assert two.unseen.tolist() == [False, True]
    turned = concatenate([take(two, np.array([False, True])), take(two, np.array([True, False]))])
    assert_same(turned, take(two, np.array([1, 0])))


def test_a_table_in_several_row_groups_is_read_whole(out_of_fold: Predictions, written: Path) -> None:
    pq.write_table(pq.read_table(written), written, row_group_size=2)
    assert_same(read_predictions(written), out_of_fold)


def with_column(name: str, values: pa.Array) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(table.column_names.index(name), name, values)


def vowels(value: float | None = 0, width: int = 11) -> pa.Array:
    """Five rows of probabilities, the third with a value of its own, or missing."""
    rows = [[1 / width] * width for _ in range(5)]
    lists = [*rows[:2], None if value is None else [value, *rows[2][1:]], *rows[3:]]
    return pa.array(lists, pa.list_(pa.float32(), width))


VOWEL, PROB = "vowel_diacritic", "vowel_diacritic_prob"
TABLE_FAULTS: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "no probabilities": (lambda table: table.drop_columns([PROB]), f"expected one column {PROB} of fixed_size_list<"),
    "a column twice": (lambda table: table.append_column(VOWEL, table[VOWEL]), "of int64, found int64 and int64"),
    "another table": (lambda _: pa.table({"a": [1]}), "expected one column image_id of string, found none"),
    "fewer classes": (with_column(PROB, vowels(width=10)), "[11], found fixed_size_list"),
    "lists of any length": (with_column(PROB, pa.array([[0.5]] * 5)), "[11], found list<"),
    "a missing list": (with_column(PROB, vowels(None)), "shape"),
    "a missing id": (with_column("image_id", pa.array(["a", "b", None, "d", "e"])), "image_id is missing in 1 row"),
    "other labels": (with_column(VOWEL, pa.array([0, 1, 11, 2, 3])), "its checksum is not that of its content"),
    "a missing label": (with_column(VOWEL, pa.array([1, 2, None, 3, 4])), f"{VOWEL} is missing in 1 row"),
    "labels that are words": (with_column(VOWEL, pa.array(list("abcde"))), f"{VOWEL} of int64, found string"),
}


@pytest.mark.parametrize("fault", TABLE_FAULTS)
def test_a_faulty_table_is_refused_with_its_column(written: Path, refused: Refused, fault: str) -> None:
    change, words = TABLE_FAULTS[fault]
    pq.write_table(change(pq.read_table(written)), written)
    refused(["oof.parquet", "make it again", words], read_predictions, written)


@pytest.mark.parametrize("keep", [0, 3, 500, -8])
def test_a_truncated_table_is_refused(written: Path, refused: Refused, keep: int) -> None:
    written.write_bytes(written.read_bytes()[:keep])
    refused(["oof.parquet", "no predictions table", "make it again"], read_predictions, written)


def test_a_table_that_is_not_there_is_refused_with_what_to_do(tmp_path: Path, refused: Refused) -> None:
    refused(["oof.parquet", "not there", "Train"], read_predictions, tmp_path / "oof.parquet")


def test_an_image_predicted_by_two_folds_is_refused(out_of_fold: Predictions) -> None:
    with pytest.raises(InputError, match="Train_3 is predicted by two folds"):
        concatenate([out_of_fold, make_predictions(["Train_1", "Train_3"])])


def test_a_column_whose_name_is_no_text_is_refused(tmp_path: Path, refused: Refused) -> None:
    """A byte of a parquet file's schema changed, as coverage-guided fuzzing found it."""
    path, table = tmp_path / "oof.parquet", make_predictions(["a"])
    write_predictions(table, decode(table.probabilities), path)
    path.write_bytes(path.read_bytes().replace(b"vowel_diacritic_pred", b"vowel_diacritic\x95pred"))
    refused(["oof.parquet"], read_predictions, path)
