"""Ensembles: the mean over members that know the same images, aligned by id."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_same, make_predictions

from okkhor.errors import InputError
from okkhor.predictions import Predictions, read_predictions, write_predictions
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode
from okkhor.scoring.ensembling import average

IDS = [f"Train_{k}" for k in range(40)]


def reordered(predictions: Predictions, order: np.ndarray) -> Predictions:
    assert predictions.labels is not None
    return Predictions(
        predictions.image_ids[order],
        {name: values[order] for name, values in predictions.probabilities.items()},
        {name: values[order] for name, values in predictions.labels.items()},
    )


@pytest.fixture
def one() -> Predictions:
    return make_predictions(IDS, seed=0)


@pytest.fixture
def two(one: Predictions) -> Predictions:
    return replace(make_predictions(IDS, seed=1), labels=one.labels)


def test_an_ensemble_of_one_is_that_one_bit_for_bit(one: Predictions) -> None:
    assert_same(average([one], ["a"]), one)


def test_an_ensemble_of_three_times_the_same_decides_as_that_one(one: Predictions) -> None:
    mean = average([one, one, one], ["a", "b", "c"])
    for name in HEAD_NAMES:
        np.testing.assert_array_equal(decode(mean.probabilities)[name], decode(one.probabilities)[name])


def test_members_in_another_order_are_aligned_by_id(one: Predictions, two: Predictions) -> None:
    order = np.random.default_rng(0).permutation(len(IDS))
    mean = average([one, reordered(two, order)], ["a", "b"])
    assert_same(mean, average([one, two], ["a", "b"]))
    by_hand = {image_id: two.probabilities["grapheme_root"][row] for row, image_id in enumerate(two.image_ids)}
    for row, image_id in enumerate(mean.image_ids):
        expected = (one.probabilities["grapheme_root"][row] + by_hand[image_id]) / 2
        np.testing.assert_allclose(mean.probabilities["grapheme_root"][row], expected, rtol=1e-6)


def test_the_order_of_the_members_changes_only_the_order_of_the_rows(one: Predictions, two: Predictions) -> None:
    turned = reordered(two, np.arange(len(IDS))[::-1])
    first, second = average([one, turned], ["a", "b"]), average([turned, one], ["b", "a"])
    assert first.image_ids.tolist() == one.image_ids.tolist()
    assert second.image_ids.tolist() == turned.image_ids.tolist()
    for name in HEAD_NAMES:
        np.testing.assert_array_equal(first.probabilities[name], second.probabilities[name][::-1])


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([*IDS[:-1], "Train_99"], ["1 only in b (first: Train_99)", "1 only in a (first: Train_39)"]),
        (IDS[:-2], ["0 only in b (none)", "2 only in a (first: Train_38)"]),
        ([*IDS, "Train_99"], ["1 only in b (first: Train_99)", "0 only in a (none)"]),
        (["z"], ["1 only in b (first: z)", "40 only in a"]),
    ],
)
def test_members_of_other_images_are_refused_by_name(one: Predictions, ids: list[str], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        average([one, make_predictions(ids)], ["a", "b"])
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value)) < 250


def test_members_with_other_labels_are_refused_by_name(one: Predictions, two: Predictions) -> None:
    assert two.labels is not None
    changed = two.labels["vowel_diacritic"].copy()
    changed[3] = (changed[3] + 1) % 11
    other = replace(two, labels={**two.labels, "vowel_diacritic": changed})
    with pytest.raises(InputError, match=r"b and a have different labels of Train_3: vowel_diacritic \d+ and \d+"):
        average([one, other], ["a", "b"])


def test_the_ensemble_of_written_tables_decides_as_that_in_memory(
    one: Predictions, two: Predictions, tmp_path: Path
) -> None:
    """The ensemble that was validated is the one that is submitted."""
    for name, member in (("a", one), ("b", two)):
        write_predictions(member, decode(member.probabilities), tmp_path / f"{name}.parquet")
    members = [read_predictions(tmp_path / f"{name}.parquet") for name in "ab"]
    assert_same(average(members, ["a", "b"]), average([one, two], ["a", "b"]))


def test_probabilities_stay_probabilities(one: Predictions, two: Predictions) -> None:
    mean = average([one, two], ["a", "b"])
    for name in HEAD_NAMES:
        assert mean.probabilities[name].dtype == np.float32
        np.testing.assert_allclose(mean.probabilities[name].sum(axis=1), 1, rtol=1e-5)
