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
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.decoding import decode
from okkhor.scoring.metric import competition_score


@pytest.fixture
def out_of_fold() -> Predictions:
    return make_predictions([f"Train_{k}" for k in (7, 3, 11, 0, 5)])


@pytest.fixture
def written(out_of_fold: Predictions, tmp_path: Path) -> Path:
    path = tmp_path / "oof.parquet"
    write_predictions(out_of_fold, decode(out_of_fold.probabilities), path)
    return path


def test_a_table_survives_the_disk_bit_for_bit(out_of_fold: Predictions, written: Path) -> None:
    back = read_predictions(written)
    assert_same(back, out_of_fold)
    assert {values.dtype for values in back.probabilities.values()} == {np.dtype(np.float32)}


def with_everything(image_ids: list[str]) -> Predictions:
    """With what a grapheme head says, and which images are of unseen graphemes."""
    unseen = np.arange(len(image_ids)) % 3 == 0
    return replace(
        make_predictions(image_ids), marginals=make_predictions(image_ids, seed=1).probabilities, unseen=unseen
    )


def test_what_the_grapheme_head_says_and_what_is_unseen_survive_too(tmp_path: Path) -> None:
    predictions = with_everything([f"Train_{k}" for k in range(7)])
    write_predictions(predictions, decode(predictions.probabilities), tmp_path / "oof.parquet")
    assert_same(read_predictions(tmp_path / "oof.parquet"), predictions)
    table = pd.read_parquet(tmp_path / "oof.parquet")
    assert table["unseen"].tolist() == [True, False, False, True, False, False, True]
    assert predictions.marginals is not None
    for name in HEAD_NAMES:
        np.testing.assert_array_equal(np.stack(table[f"{name}_grapheme_prob"]), predictions.marginals[name])


def test_rows_are_taken_by_number_or_by_flag_of_every_column() -> None:
    predictions = with_everything([f"Train_{k}" for k in range(7)])
    two = take(predictions, np.array([5, 3]))
    assert two.image_ids.tolist() == ["Train_5", "Train_3"]
    assert two.unseen is not None
    assert two.unseen.tolist() == [False, True]
    assert_same(
        concatenate([take(two, np.array([False, True])), take(two, np.array([True, False]))]),
        take(two, np.array([1, 0])),
    )


def test_a_test_table_has_no_labels(tmp_path: Path) -> None:
    predictions = make_predictions(["Test_1", "Test_0"], labelled=False)
    write_predictions(predictions, decode(predictions.probabilities), tmp_path / "test.parquet")
    assert_same(read_predictions(tmp_path / "test.parquet"), predictions)


def test_pandas_alone_reads_ids_labels_decisions_and_probabilities(out_of_fold: Predictions, written: Path) -> None:
    table = pd.read_parquet(written)
    assert list(table) == ["image_id", *(f"{name}{end}" for name in HEAD_NAMES for end in ("", "_pred", "_prob"))]
    assert table["image_id"].tolist() == out_of_fold.image_ids.tolist()
    assert out_of_fold.labels is not None
    for head in HEADS:
        probabilities = np.stack(table[f"{head.name}_prob"])
        assert probabilities.shape == (5, head.num_classes)
        assert probabilities.dtype == np.float32
        np.testing.assert_array_equal(probabilities.argmax(axis=1), table[f"{head.name}_pred"])
        np.testing.assert_array_equal(table[head.name], out_of_fold.labels[head.name])


def test_the_score_of_the_table_on_the_disk_is_that_of_the_one_in_memory(
    out_of_fold: Predictions, written: Path
) -> None:
    assert out_of_fold.labels is not None
    table = pd.read_parquet(written)
    from_disk = competition_score({n: table[n] for n in HEAD_NAMES}, {n: table[f"{n}_pred"] for n in HEAD_NAMES})
    assert from_disk == competition_score(out_of_fold.labels, decode(out_of_fold.probabilities))


def test_a_table_in_several_row_groups_is_read_whole(out_of_fold: Predictions, written: Path) -> None:
    pq.write_table(pq.read_table(written), written, row_group_size=2)
    assert_same(read_predictions(written), out_of_fold)


def set_column(name: str, values: pa.Array) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(table.column_names.index(name), name, values)


def vowels(value: float, width: int = 11) -> pa.Array:
    """Five rows of probabilities, the third with a value of its own."""
    values = np.full((5, width), 1 / width, np.float32)
    values[2, 4] = value
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), width)


ROW = [1 / 11] * 11
TABLE_FAULTS: dict[str, tuple[Callable[[pa.Table], pa.Table], list[str]]] = {
    "no probabilities": (lambda table: table.drop_columns(["vowel_diacritic_prob"]), ["lacks", "vowel_diacritic_prob"]),
    "another table": (lambda _: pa.table({"a": [1]}), ["lacks the columns image_id, grapheme_root_prob"]),
    "fewer classes": (set_column("vowel_diacritic_prob", vowels(0, width=10)), ["vowel_diacritic_prob", "lists of 11"]),
    "lists of any length": (
        set_column("vowel_diacritic_prob", pa.array([ROW] * 5)),
        ["vowel_diacritic_prob", "lists of 11 float32", "found list<"],
    ),
    "a missing list": (
        set_column("vowel_diacritic_prob", pa.array([ROW, None, ROW, ROW, ROW], pa.list_(pa.float32(), 11))),
        ["vowel_diacritic_prob is missing in 1 row"],
    ),
    "not a number": (set_column("vowel_diacritic_prob", vowels(np.nan)), ["vowel_diacritic_prob", "no finite"]),
    "a missing id": (set_column("image_id", pa.array(["a", "b", None, "d", "e"])), ["image_id is missing in 1 row"]),
    "an id twice": (set_column("image_id", pa.array(["a", "b", "a", "d", "e"])), ["image a stands twice"]),
    "a missing label": (
        set_column("vowel_diacritic", pa.array([1, 2, None, 3, 4])),
        ["vowel_diacritic is missing in 1 row"],
    ),
    "a label out of range": (set_column("vowel_diacritic", pa.array([0, 1, 11, 2, 3])), ["vowel_diacritic", "0 to 10"]),
    "a label that is a word": (set_column("vowel_diacritic", pa.array(list("abcde"))), ["vowel_diacritic", "0 to 10"]),
}


@pytest.mark.parametrize("fault", TABLE_FAULTS)
def test_a_faulty_table_is_refused_with_its_column(written: Path, refused: Refused, fault: str) -> None:
    change, words = TABLE_FAULTS[fault]
    pq.write_table(change(pq.read_table(written)), written)
    refused(["oof.parquet", *words], read_predictions, written)


@pytest.mark.parametrize("keep", [0, 3, 500, -8])
def test_a_truncated_table_is_refused(written: Path, refused: Refused, keep: int) -> None:
    written.write_bytes(written.read_bytes()[:keep])
    refused(["oof.parquet", "can't be read as parquet", "make it again"], read_predictions, written)


def test_a_table_that_is_not_there_is_refused_with_what_to_do(tmp_path: Path, refused: Refused) -> None:
    refused(["oof.parquet", "not there", "Train"], read_predictions, tmp_path / "oof.parquet")


def test_folds_are_put_together_with_each_image_once(out_of_fold: Predictions) -> None:
    other = make_predictions(["Train_1", "Train_2"], seed=1)
    whole = concatenate([out_of_fold, other])
    assert whole.image_ids.tolist() == [*out_of_fold.image_ids, "Train_1", "Train_2"]
    assert whole.labels is not None
    assert other.labels is not None
    np.testing.assert_array_equal(whole.labels["grapheme_root"][5:], other.labels["grapheme_root"])
    np.testing.assert_array_equal(
        whole.probabilities["vowel_diacritic"][:5], out_of_fold.probabilities["vowel_diacritic"]
    )


def test_an_image_predicted_by_two_folds_is_refused(out_of_fold: Predictions) -> None:
    with pytest.raises(InputError, match="Train_3 is predicted by two folds"):
        concatenate([out_of_fold, make_predictions(["Train_1", "Train_3"])])


def test_a_column_whose_name_is_no_text_is_refused(tmp_path: Path, refused: Refused) -> None:
    """A byte of a parquet file's schema changed, as coverage-guided fuzzing found it."""
    path, table = tmp_path / "oof.parquet", make_predictions(["a"])
    write_predictions(table, decode(table.probabilities), path)
    path.write_bytes(path.read_bytes().replace(b"vowel_diacritic_pred", b"vowel_diacritic\x95pred"))
    refused(["oof.parquet"], read_predictions, path)
