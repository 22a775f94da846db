"""The bootstrap, held against the binomial distribution."""

from typing import Any

import numpy as np
import pytest

from okkhor.schema import HEADS
from okkhor.scoring.metric import bootstrap_heads, competition_score, interval

Labels = dict[str, np.ndarray]


def bootstrap_scores(*arguments: Any, **options: Any) -> np.ndarray:
    return bootstrap_heads(*arguments, **options)["score"]


def balanced(share_right: float, images_per_class: int = 40, seed: int = 100) -> tuple[Labels, Labels]:
    """Labels that all heads have alike, of seven classes, and guesses that are right so often.

    Not seed 0, the draws' own: the guesses would come from the stream that the first draw comes from.
    """
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(7), images_per_class)
    guess = np.where(random.random(len(truth)) < share_right, truth, (truth + 1) % 7)
    return {head.name: truth for head in HEADS}, {head.name: guess for head in HEADS}


def test_the_drawn_scores_lie_around_the_score_as_the_binomial_says() -> None:
    labels, decided = balanced(0.8)
    score = competition_score(labels, decided)["score"]
    drawn = bootstrap_scores(labels, [decided], np.ones(280))[0]
    assert drawn.mean() == pytest.approx(score, abs=0.003)
    assert drawn.std() == pytest.approx(np.sqrt(score * (1 - score) / 280), rel=0.15)
    low, high = interval(drawn)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(score * (1 - score) / 280), rel=0.15)


def test_a_smaller_test_set_moves_further() -> None:
    labels, decided = balanced(0.8, images_per_class=400)
    whole = bootstrap_scores(labels, [decided], np.ones(2800))[0]
    quarter = bootstrap_scores(labels, [decided], np.ones(2800), num_images=700)[0]
    assert quarter.std() / whole.std() == pytest.approx(2, rel=0.2)


def test_decisions_are_compared_on_the_same_images() -> None:
    labels, decided = balanced(0.8)
    better = {
        name: np.where(np.arange(280) == np.flatnonzero(v != labels[name])[0], labels[name], v)
        for name, v in decided.items()
    }
    same, other = (
        bootstrap_scores(labels, [decided, decided], np.ones(280)),
        bootstrap_scores(labels, [decided, better], np.ones(280)),
    )
    assert (same[0] == same[1]).all()
    assert (other[1] >= other[0]).all()
    assert (other[1] - other[0]).std() < other[0].std() / 3


def test_an_image_without_weight_is_never_drawn() -> None:
    labels, decided = balanced(1.0)
    wrong = {name: np.where(labels[name] == 3, 0, values) for name, values in decided.items()}
    weights = (labels["grapheme_root"] != 3).astype(float)
    assert (bootstrap_scores(labels, [wrong], weights) == 1).all()


def test_a_seed_fixes_the_draws() -> None:
    labels, decided = balanced(0.7)
    first, again = (bootstrap_scores(labels, [decided], np.ones(280), seed=3) for _ in range(2))
    assert (first == again).all()
    assert (first != bootstrap_scores(labels, [decided], np.ones(280), seed=4)).any()


def test_writers_who_differ_move_a_score_more_than_their_images_do() -> None:
    """Ten writers, five read well and five badly: the mean of ten drawn ones has the deviation of a fair coin's."""
    labels = {head.name: np.tile(np.arange(7), 1000) for head in HEADS}
    writers = np.repeat(np.arange(10), 700)
    decided = {name: np.where(writers % 2 == 0, truth, (truth + 1) % 7) for name, truth in labels.items()}
    by_image = bootstrap_scores(labels, [decided], np.ones(7000))[0]
    by_writer = bootstrap_scores(labels, [decided], np.ones(7000), groups=writers)[0]
    assert by_image.std() == pytest.approx(0.5 / np.sqrt(7000), rel=0.15)
    assert by_writer.std() == pytest.approx(0.5 / np.sqrt(10), rel=0.15)
