"""Weights of members: greedy selection, held against all the bags that there are; stacking, against what is known."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from helpers import honest_predictions, make_predictions, score_of

from okkhor.errors import InputError
from okkhor.label_triples import Labels, count_triples
from okkhor.predictions import Predictions, take
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.ensembling import Mean, combine
from okkhor.scoring.member_weights import Combination, fit_stacking, select_greedily

NAMES = ["a", "b", "c"]
SHARES = [1 / np.arange(1, head.num_classes + 1) for head in HEADS]  # class 0 is the most frequent one
RANDOM = np.random.default_rng(7)
TRIPLES = np.stack([RANDOM.choice(len(s), 20_000, p=s / s.sum()) for s in SHARES], axis=1)


def lucky_members(seed: int, num_images: int = 300) -> list[Predictions]:
    """Three members that each know the truth of 60 % of the images, by chance."""
    random = np.random.default_rng(seed)
    labels = Labels(np.stack([random.integers(0, head.num_classes, num_images) for head in HEADS], axis=1))
    members = []
    for _ in NAMES:
        probabilities = {}
        for head in HEADS:
            knows = random.random((num_images, 1)) < 0.6
            values = random.dirichlet(np.ones(head.num_classes), num_images)
            values += 0.5 * knows * np.eye(head.num_classes)[labels[head.name]]
            probabilities[head.name] = (values / values.sum(axis=1, keepdims=True)).astype(np.float32)
        members.append(Predictions(np.array([f"Train_{k}" for k in range(num_images)]), probabilities, labels))
    return members


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_the_selection_is_never_worse_than_the_best_member_on_its_own_images(mean: Mean) -> None:
    for seed in range(8):
        members = lucky_members(seed, num_images=100)
        weights = select_greedily(members, NAMES, mean)
        assert sum(weights) == pytest.approx(1)
        assert score_of(combine(members, NAMES, mean, weights)) >= max(map(score_of, members))


def test_few_members_are_weighed_about_as_well_as_by_trying_every_bag() -> None:
    members = lucky_members(0)
    best = max(score_of(combine(members, NAMES, weights=bag)) for bag in product(range(5), repeat=3) if sum(bag))
    weights = select_greedily(members, NAMES, "arithmetic")
    assert score_of(combine(members, NAMES, weights=weights)) >= best - 0.01


def test_one_member_has_all_the_weight() -> None:
    assert select_greedily(lucky_members(0)[:1], ["a"], "arithmetic") == (1.0,)


def test_a_member_that_knows_nothing_gets_little() -> None:
    good, other, _ = lucky_members(0)
    noise = replace(make_predictions(good.image_ids.tolist(), seed=9), labels=good.labels)
    weights = select_greedily([good, other, noise], NAMES, "arithmetic")
    assert weights[2] < min(weights[:2])


def informed_and_loud(seed: int = 0, num_images: int = 3000) -> list[Predictions]:
    """Images of frequent and rare classes; a member that knows something, and one that guesses confidently."""
    informed = honest_predictions(seed, num_images, count_triples(Labels(TRIPLES)))
    guess = {
        head.name: np.exp(4 * np.random.default_rng(seed + 100).normal(size=(num_images, head.num_classes)))
        for head in HEADS
    }
    loud = {name: (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32) for name, odds in guess.items()}
    return [informed, replace(informed, probabilities=loud)]


def stacked(learn: list[Predictions], judge: list[Predictions]) -> Predictions:
    return Combination(stacking=fit_stacking(learn, NAMES[:2])).apply(judge, NAMES[:2])


def test_stacking_believes_the_member_that_knows_and_makes_up_for_its_prior_on_new_images() -> None:
    learn, judge = informed_and_loud(), informed_and_loud(seed=1)
    stacking = fit_stacking(learn, NAMES[:2])
    for name in HEAD_NAMES:
        informed, loud = stacking.weights[name]
        assert informed > 5 * abs(loud)
        assert stacking.biases[name][0] < stacking.biases[name][-3:].mean()  # rare classes count as much
    table = Combination(stacking=stacking).apply(judge, NAMES[:2])
    assert score_of(table) > score_of(combine(judge, NAMES[:2])) + 0.1
    assert score_of(table) > score_of(judge[0]) + 0.005
    for name in HEAD_NAMES:
        np.testing.assert_allclose(table.probabilities[name].sum(axis=1), 1, rtol=1e-5)


def test_a_class_that_the_fit_had_no_image_of_is_still_there() -> None:
    members = informed_and_loud(num_images=300)
    assert members[0].labels is not None
    rows = members[0].labels["vowel_diacritic"] != 7
    vowels = stacked([take(member, rows) for member in members], members).probabilities["vowel_diacritic"]
    assert vowels.shape == (300, 11)
    assert np.isfinite(vowels).all()


def test_stacking_does_not_depend_on_the_order_of_a_members_images() -> None:
    members = informed_and_loud(num_images=200)
    turned = [members[0], take(members[1], np.arange(200)[::-1])]
    one, again = (stacked(these, these) for these in (members, turned))
    for name in HEAD_NAMES:
        np.testing.assert_array_equal(one.probabilities[name], again.probabilities[name])


def test_members_with_other_images_are_refused() -> None:
    one, other = (make_predictions([f"Train_{k}" for k in range(first, first + 20)]) for first in (0, 1))
    with pytest.raises(InputError, match="Train_0"):
        fit_stacking([one, other], NAMES[:2])
