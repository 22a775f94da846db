"""Ensembles: the mean over members that predict the same images, aligned by id."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import assert_same, make_predictions
from scipy.stats import gmean

from okkhor.errors import InputError
from okkhor.label_triples import Labels
from okkhor.predictions import Predictions, take
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.decoding import decode
from okkhor.scoring.ensembling import Mean, combine, disagreement

IDS = [f"Train_{k}" for k in range(40)]
MEANS = ("arithmetic", "geometric", "rank")


@pytest.fixture
def one() -> Predictions:
    return make_predictions(IDS, seed=0)


@pytest.fixture
def two(one: Predictions) -> Predictions:
    return replace(make_predictions(IDS, seed=1), labels=one.labels)


@pytest.mark.parametrize("mean", MEANS)
def test_an_ensemble_of_equal_members_decides_as_one_of_them_by_any_mean(one: Predictions, mean: Mean) -> None:
    for members in ([one], [one, one, one]):
        combined = combine(members, ["a", "b", "c"][: len(members)], mean)
        np.testing.assert_array_equal(decode(combined.probabilities).array, decode(one.probabilities).array)
        for name in HEAD_NAMES:
            assert combined.probabilities[name].dtype == np.float32
            np.testing.assert_allclose(combined.probabilities[name].sum(axis=1), 1, rtol=1e-5)
            if mean != "rank":
                np.testing.assert_allclose(combined.probabilities[name], one.probabilities[name], rtol=1e-4)


def test_members_in_another_order_are_aligned_by_id(one: Predictions, two: Predictions) -> None:
    assert_same(combine([one], ["a"]), one)
    order = np.random.default_rng(0).permutation(len(IDS))
    expected, turned = combine([one, two], ["a", "b"]), take(two, order)
    assert_same(combine([one, turned], ["a", "b"]), expected)
    assert_same(combine([turned, one], ["b", "a"]), take(expected, order))


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
    assert one.labels is not None
    changed = Labels(one.labels.array.copy())
    changed.array[3, 1] = (changed.array[3, 1] + 1) % 11
    with pytest.raises(InputError, match=r"b and a have different labels of Train_3: vowel_diacritic \d+ and \d+"):
        combine([one, replace(two, labels=changed)], ["a", "b"])


def test_the_geometric_mean_is_scipys_normalised(one: Predictions, two: Predictions) -> None:
    combined = combine([one, two], ["a", "b"], "geometric", weights=[3, 1])
    for name, values in combined.probabilities.items():
        both = np.stack([one.probabilities[name], two.probabilities[name]]).astype(np.float64)
        expected = gmean(both, axis=0, weights=np.array([3, 1])[:, None, None])
        np.testing.assert_allclose(values, expected / expected.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-30)


def test_the_mean_of_ranks_is_bordas_count_and_minds_confidence_only_where_ranks_are_equal() -> None:
    rows = {"a": [0.5, 0.3, 0.2], "b": [0.05, 0.05, 0.9], "c": [0.4, 0.5, 0.1]}
    members = [
        Predictions(
            np.array(["x"]), {head.name: np.array([row + [0.0] * (head.num_classes - 3)], np.float32) for head in HEADS}
        )
        for row in rows.values()
    ]
    assert decode(combine(members, list(rows)).probabilities)["vowel_diacritic"].tolist() == [2]  # b is very confident
    # ranks of the three classes, from the last: a 2 1 0, b .5 .5 2, c 1 2 0: sums 3.5, 3.5, 2; .95 > .85 decides
    assert decode(combine(members, list(rows), "rank").probabilities)["vowel_diacritic"].tolist() == [0]


@pytest.mark.parametrize("mean", MEANS)
def test_a_member_without_weight_has_no_say(one: Predictions, two: Predictions, mean: Mean) -> None:
    assert_same(combine([one, two], ["a", "b"], mean, weights=[1, 0]), combine([one], ["a"], mean))


def test_weights_are_shares_of_the_arithmetic_mean(one: Predictions, two: Predictions) -> None:
    combined = combine([one, two], ["a", "b"], weights=[1, 3])
    for name, values in combined.probabilities.items():
        expected = (one.probabilities[name] + 3 * two.probabilities[name].astype(np.float64)) / 4
        np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_what_grapheme_heads_say_is_averaged_where_all_members_have_one(one: Predictions, two: Predictions) -> None:
    said = [make_predictions(IDS, seed=seed).probabilities for seed in (5, 6)]
    first, second = (replace(member, marginals=table) for member, table in zip((one, two), said, strict=True))
    combined = combine([first, second], ["a", "b"]).marginals
    assert combined is not None
    for name in HEAD_NAMES:
        np.testing.assert_allclose(combined[name], (said[0][name] + said[1][name]) / 2, rtol=1e-6)
    assert combine([first, two], ["a", "b"]).marginals is None


def test_members_disagree_where_they_decode_differently(one: Predictions, two: Predictions) -> None:
    table = disagreement([one, two, one], ["a", "b", "c"])
    assert list(zip(table["one"], table["other"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]
    for name in HEAD_NAMES:
        ours, theirs = (decode(member.probabilities)[name].tolist() for member in (one, two))
        share = sum(x != y for x, y in zip(ours, theirs, strict=True)) / len(IDS)
        assert table[name].tolist() == [share, 0, share]
