"""Ensembles: the mean over members that know the same images, aligned by id."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_same, make_predictions
from scipy.stats import gmean

from okkhor.errors import InputError
from okkhor.label_triples import count_graphemes
from okkhor.pipeline.ensemble import align_folds
from okkhor.predictions import Predictions, read_predictions, write_predictions
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.choosing import OutOfFold
from okkhor.scoring.decoding import decode
from okkhor.scoring.ensembling import Mean, combine, disagreement

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
    assert_same(combine([one], ["a"]), one)


def test_an_ensemble_of_three_times_the_same_decides_as_that_one(one: Predictions) -> None:
    mean = combine([one, one, one], ["a", "b", "c"])
    for name in HEAD_NAMES:
        np.testing.assert_array_equal(decode(mean.probabilities)[name], decode(one.probabilities)[name])


def test_members_in_another_order_are_aligned_by_id(one: Predictions, two: Predictions) -> None:
    order = np.random.default_rng(0).permutation(len(IDS))
    mean = combine([one, reordered(two, order)], ["a", "b"])
    assert_same(mean, combine([one, two], ["a", "b"]))
    by_hand = {image_id: two.probabilities["grapheme_root"][row] for row, image_id in enumerate(two.image_ids)}
    for row, image_id in enumerate(mean.image_ids):
        expected = (one.probabilities["grapheme_root"][row] + by_hand[image_id]) / 2
        np.testing.assert_allclose(mean.probabilities["grapheme_root"][row], expected, rtol=1e-6)


def test_the_order_of_the_members_changes_only_the_order_of_the_rows(one: Predictions, two: Predictions) -> None:
    turned = reordered(two, np.arange(len(IDS))[::-1])
    first, second = combine([one, turned], ["a", "b"]), combine([turned, one], ["b", "a"])
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
        combine([one, make_predictions(ids)], ["a", "b"])
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value)) < 250


def test_members_with_other_labels_are_refused_by_name(one: Predictions, two: Predictions) -> None:
    assert two.labels is not None
    changed = two.labels["vowel_diacritic"].copy()
    changed[3] = (changed[3] + 1) % 11
    other = replace(two, labels={**two.labels, "vowel_diacritic": changed})
    with pytest.raises(InputError, match=r"b and a have different labels of Train_3: vowel_diacritic \d+ and \d+"):
        combine([one, other], ["a", "b"])


def test_the_ensemble_of_written_tables_decides_as_that_in_memory(
    one: Predictions, two: Predictions, tmp_path: Path
) -> None:
    """The ensemble that was validated is the one that is submitted."""
    for name, member in (("a", one), ("b", two)):
        write_predictions(member, decode(member.probabilities), tmp_path / f"{name}.parquet")
    members = [read_predictions(tmp_path / f"{name}.parquet") for name in "ab"]
    assert_same(combine(members, ["a", "b"]), combine([one, two], ["a", "b"]))


def test_probabilities_stay_probabilities(one: Predictions, two: Predictions) -> None:
    mean = combine([one, two], ["a", "b"])
    for name in HEAD_NAMES:
        assert mean.probabilities[name].dtype == np.float32
        np.testing.assert_allclose(mean.probabilities[name].sum(axis=1), 1, rtol=1e-5)


MEANS = ("arithmetic", "geometric", "rank")


@pytest.mark.parametrize("mean", MEANS)
def test_an_ensemble_of_one_decides_as_that_one_by_any_mean(one: Predictions, mean: Mean) -> None:
    alone = combine([one], ["a"], mean)
    for name in HEAD_NAMES:
        np.testing.assert_array_equal(decode(alone.probabilities)[name], decode(one.probabilities)[name])
        np.testing.assert_allclose(alone.probabilities[name].sum(axis=1), 1, rtol=1e-5)
        if mean != "rank":
            np.testing.assert_allclose(alone.probabilities[name], one.probabilities[name], rtol=1e-4)


def test_the_geometric_mean_is_scipys_normalised(one: Predictions, two: Predictions) -> None:
    combined = combine([one, two], ["a", "b"], "geometric", weights=[3, 1])
    for name in HEAD_NAMES:
        both = np.stack([one.probabilities[name], two.probabilities[name]]).astype(np.float64)
        expected = gmean(both, axis=0, weights=np.array([3, 1])[:, None, None])
        np.testing.assert_allclose(
            combined.probabilities[name], expected / expected.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-30
        )


def test_the_mean_of_ranks_is_bordas_count_and_minds_how_sure_a_member_is_only_where_places_are_even() -> None:
    rows = {"a": [0.5, 0.3, 0.2], "b": [0.05, 0.05, 0.9], "c": [0.4, 0.5, 0.1]}
    members = [
        Predictions(
            np.array(["x"]), {head.name: np.array([row + [0.0] * (head.num_classes - 3)], np.float32) for head in HEADS}
        )
        for row in rows.values()
    ]
    assert decode(combine(members, list(rows)).probabilities)["vowel_diacritic"].tolist() == [2]  # b is very sure
    # places of the three classes, from the last: a 2 1 0, b .5 .5 2, c 1 2 0: sums 3.5, 3.5, 2; .95 > .85 decides
    assert decode(combine(members, list(rows), "rank").probabilities)["vowel_diacritic"].tolist() == [0]


@pytest.mark.parametrize("mean", MEANS)
def test_a_member_without_weight_has_no_say(one: Predictions, two: Predictions, mean: Mean) -> None:
    assert_same(combine([one, two], ["a", "b"], mean, weights=[1, 0]), combine([one], ["a"], mean))


def test_weights_are_shares_of_the_arithmetic_mean(one: Predictions, two: Predictions) -> None:
    combined = combine([one, two], ["a", "b"], weights=[1, 3])
    for name in HEAD_NAMES:
        expected = (one.probabilities[name] + 3 * two.probabilities[name].astype(np.float64)) / 4
        np.testing.assert_allclose(combined.probabilities[name], expected, rtol=1e-6)


@pytest.mark.parametrize("weights", [[0, 0], [-1, 2], [1]])
def test_weights_that_make_no_mean_are_our_own_mistake(
    one: Predictions, two: Predictions, weights: list[float]
) -> None:
    with pytest.raises(AssertionError):
        combine([one, two], ["a", "b"], weights=weights)


def test_what_grapheme_heads_say_is_averaged_where_all_members_have_one(one: Predictions, two: Predictions) -> None:
    first, second = (
        replace(member, marginals=make_predictions(IDS, seed=k).probabilities) for k, member in ((5, one), (6, two))
    )
    combined = combine([first, second], ["a", "b"])
    assert combined.marginals is not None
    assert first.marginals is not None
    assert second.marginals is not None
    for name in HEAD_NAMES:
        np.testing.assert_allclose(
            combined.marginals[name], (first.marginals[name] + second.marginals[name]) / 2, rtol=1e-6
        )
    assert combine([first, two], ["a", "b"]).marginals is None


def test_members_disagree_where_they_read_differently(one: Predictions, two: Predictions) -> None:
    table = disagreement([one, two, one], ["a", "b", "c"])
    assert list(zip(table["one"], table["other"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]
    for name in HEAD_NAMES:
        differs = [
            x != y for x, y in zip(decode(one.probabilities)[name], decode(two.probabilities)[name], strict=True)
        ]
        assert table[name].tolist() == [sum(differs) / len(IDS), 0, sum(differs) / len(IDS)]


def test_members_that_hold_out_other_graphemes_are_refused(one: Predictions, two: Predictions) -> None:
    graphemes = count_graphemes(one.labels or {})
    unseen = np.arange(len(IDS)) < 4
    first = replace(one, unseen=unseen)
    members = [(table, [OutOfFold(table, graphemes)]) for table in (first, two)]
    with pytest.raises(InputError, match=r"b and a hold out other graphemes"):
        align_folds(members, ["a", "b"])
    same = [(table, [OutOfFold(table, graphemes)]) for table in (first, replace(two, unseen=unseen))]
    assert len(align_folds(same, ["a", "b"])) == 2
