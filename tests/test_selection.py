"""Greedy selection of members, held against all the bags that there are, and against labels that mean nothing."""

from itertools import product

import numpy as np
import pytest
from helpers import make_predictions

from okkhor.predictions import Predictions, take
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.choosing import decide_nested, random_parts
from okkhor.scoring.decoding import decode
from okkhor.scoring.ensembling import combine
from okkhor.scoring.member_weights import select_greedily
from okkhor.scoring.metric import competition_score

NAMES = ["a", "b", "c"]


def members_of(seed: int, num_images: int = 300, skill: float = 0.6, permuted: bool = False) -> list[Predictions]:
    """Three members that are right by chance, each on images of its own; permuted: by labels without meaning."""
    ids = [f"Train_{k}" for k in range(num_images)]
    random = np.random.default_rng(seed)
    labels = {head.name: random.integers(0, head.num_classes, num_images) for head in HEADS}
    members = []
    for _ in range(3):
        probabilities = {}
        for head in HEADS:
            noise = random.dirichlet(np.ones(head.num_classes), num_images)
            right = np.eye(head.num_classes)[labels[head.name]] * (random.random((num_images, 1)) < skill)
            values = noise + 0.5 * right
            probabilities[head.name] = (values / values.sum(axis=1, keepdims=True)).astype(np.float32)
        members.append(Predictions(np.array(ids), probabilities, labels))
    if permuted:
        order = random.permutation(num_images)
        labels = {name: values[order] for name, values in labels.items()}
        members = [Predictions(m.image_ids, m.probabilities, labels) for m in members]
    return members


def score_of(table: Predictions) -> float:
    assert table.labels is not None
    return competition_score(table.labels, decode(table.probabilities))["score"]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_the_selection_is_never_worse_than_the_best_member_on_its_own_images(seed: int, mean: str) -> None:
    members = members_of(seed, num_images=100)
    found = select_greedily(members, NAMES, mean)  # type: ignore[arg-type]
    assert found.score >= max(map(score_of, members))
    assert found.score == score_of(combine(members, NAMES, mean, found.weights))  # type: ignore[arg-type]
    assert sum(found.weights) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_few_members_are_weighed_about_as_well_as_by_trying_every_bag(seed: int) -> None:
    members = members_of(seed)
    bags = [bag for bag in product(range(5), repeat=3) if sum(bag)]
    best = max(score_of(combine(members, NAMES, weights=bag)) for bag in bags)
    assert select_greedily(members, NAMES, "arithmetic").score >= best - 0.01


def test_one_member_has_all_the_weight() -> None:
    (member, *_) = members_of(0)
    assert select_greedily([member], ["a"], "arithmetic").weights == (1.0,)


def test_a_member_that_knows_nothing_gets_little() -> None:
    good, other, _ = members_of(0)
    noise = Predictions(good.image_ids, make_predictions(good.image_ids.tolist(), seed=9).probabilities, good.labels)
    weights = select_greedily([good, other, noise], NAMES, "arithmetic").weights
    assert weights[2] < min(weights[:2])


def test_labels_without_meaning_bring_a_gain_to_the_selections_own_images_only() -> None:
    leaking, nested = [], []
    for seed in range(8):
        members = members_of(seed, permuted=True)
        labels = members[0].labels
        assert labels is not None
        fair = np.mean([score_of(member) for member in members])  # a member that was not chosen by these labels
        leaking.append(select_greedily(members, NAMES, "arithmetic").score - fair)

        def fit(rows: np.ndarray, members: list[Predictions] = members) -> tuple[float, ...]:
            return select_greedily([take(m, rows) for m in members], NAMES, "arithmetic").weights

        def decide(
            weights: tuple[float, ...], rows: np.ndarray, members: list[Predictions] = members
        ) -> dict[str, np.ndarray]:
            return decode(combine([take(m, rows) for m in members], NAMES, weights=weights).probabilities)

        decided = decide_nested(random_parts(len(members[0]), 3, seed), fit, decide)
        nested.append(competition_score(labels, decided)["score"] - fair)
    assert np.mean(leaking) > 5 * np.std(leaking) / np.sqrt(8)
    assert abs(np.mean(nested)) < 3 * np.std(nested) / np.sqrt(8)


def test_each_part_is_decided_without_itself() -> None:
    parts = np.array([0, 1, 2, 0, 1, 2, 2])
    decided = decide_nested(
        parts,
        lambda rows: int(np.flatnonzero(rows).sum()),
        lambda choice, rows: {name: np.full(rows.sum(), choice) for name in HEAD_NAMES},
    )
    assert decided["vowel_diacritic"].tolist() == [18, 16, 8, 18, 16, 8, 8]


def test_random_parts_are_as_even_as_can_be() -> None:
    parts = random_parts(23, 5, seed=0)
    assert sorted(np.bincount(parts).tolist()) == [4, 4, 5, 5, 5]
    assert parts.tolist() == random_parts(23, 5, seed=0).tolist()
    assert parts.tolist() != random_parts(23, 5, seed=1).tolist()
