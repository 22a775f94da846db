"""The choice of a rule's exponents, held against scikit-learn, a choice by hand, and labels that mean nothing."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import honest_predictions, score_of, uneven_graphemes
from numpy.typing import NDArray
from sklearn.metrics import recall_score

from okkhor.predictions import Predictions, take
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.choosing import EXPONENTS, Candidates, OutOfFold, random_parts, split_folds
from okkhor.scoring.decoding import apply_rule, measure_priors

GRAPHEMES = uneven_graphemes()
PRIORS = measure_priors(GRAPHEMES)


def decide_by_hand(table: Predictions, name: str, exponent: float) -> NDArray[np.int64]:
    return (table.probabilities[name] / PRIORS[name] ** exponent).argmax(axis=1)


def recalls_by_hand(table: Predictions, name: str, weights: NDArray[np.float64] | None = None) -> list[float]:
    """The macro recall of each exponent."""
    assert table.labels is not None
    truth = table.labels[name]
    options = {"labels": np.unique(truth), "average": "macro", "sample_weight": weights}
    return [recall_score(truth, decide_by_hand(table, name, exponent), **options) for exponent in EXPONENTS]


def test_the_exponent_of_an_honest_posterior_is_about_one_and_gains_on_new_images() -> None:
    folds = [OutOfFold(honest_predictions(seed, 3000, GRAPHEMES), GRAPHEMES) for seed in (1, 2)]
    rule = Candidates("prior", folds, "counts").make_rule()
    assert 0.7 <= rule.exponents["grapheme_root"] <= 1.3
    new = honest_predictions(3, 6000, GRAPHEMES)
    assert score_of(new, apply_rule(rule, new)) > score_of(new) + 0.015


def test_each_fold_is_decided_by_the_exponent_that_is_best_on_the_others() -> None:
    whole = honest_predictions(1, 1200, GRAPHEMES)
    folds, parts = split_folds(whole, [400] * 3, [GRAPHEMES] * 3), np.repeat([0, 1, 2], 400)
    decided = Candidates("prior", folds, "counts").decide_out_of_fold(parts)
    for part, fold in enumerate(folds):
        others = take(whole, parts != part)
        best = EXPONENTS[int(np.argmax(recalls_by_hand(others, "grapheme_root")))]
        expected = decide_by_hand(fold.predictions, "grapheme_root", best)
        assert (decided["grapheme_root"][parts == part] != expected).mean() < 0.005  # but for rounding


def test_labels_without_meaning_bring_no_gain_to_images_that_had_no_part_in_the_choice() -> None:
    leaking, nested = [], []
    for seed in range(12):
        table = honest_predictions(seed, 1000, GRAPHEMES, signal=1.0, permuted=True)
        candidates = Candidates("prior", [OutOfFold(table, GRAPHEMES)], "counts")
        leaking.append(score_of(table, apply_rule(candidates.make_rule(), table)) - score_of(table))
        decided = candidates.decide_out_of_fold(random_parts(1000, 5, seed))
        nested.append(score_of(table, decided) - score_of(table))
    assert np.mean(leaking) > 5 * np.std(leaking) / np.sqrt(12)  # a choice on the images themselves promises a gain
    assert np.mean(leaking) > 0.001
    assert abs(np.mean(nested)) < 3 * np.std(nested) / np.sqrt(12)
    assert np.mean(nested) < np.mean(leaking) / 2


def test_decisions_are_compared_on_the_mix_of_seen_and_unseen() -> None:
    plain = honest_predictions(1, 2000, GRAPHEMES)
    unseen = np.arange(2000) < 600  # 30 %, where the private test has 5.8 %
    fold = OutOfFold(replace(plain, unseen=unseen), GRAPHEMES)
    chosen = Candidates("prior", [fold], "counts").make_rule().exponents
    for name in HEAD_NAMES:
        recalls = recalls_by_hand(plain, name, np.where(unseen, 0.058 / 0.3, 0.942 / 0.7))
        assert recalls[EXPONENTS.index(chosen[name])] == pytest.approx(max(recalls))


def test_random_parts_are_as_even_as_can_be() -> None:
    parts = random_parts(23, 5, seed=0)
    assert sorted(np.bincount(parts).tolist()) == [4, 4, 5, 5, 5]
    assert parts.tolist() == random_parts(23, 5, seed=0).tolist()
    assert parts.tolist() != random_parts(23, 5, seed=1).tolist()
