"""Stacking: it learns which members to believe, and what their priors hide."""

import numpy as np
import pytest
from helpers import make_predictions

from okkhor.errors import InputError
from okkhor.predictions import Predictions, take
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.decoding import decode
from okkhor.scoring.ensembling import combine
from okkhor.scoring.member_weights import apply_stacking, fit_stacking
from okkhor.scoring.metric import competition_score

NAMES = ["a", "b"]


def informed_and_loud(num_images: int = 3000, seed: int = 0) -> list[Predictions]:
    """Images of frequent and rare classes; a member that knows something, and one that is sure of what it guesses."""
    random = np.random.default_rng(seed)
    labels, informed, loud = {}, {}, {}
    for head in HEADS:
        prior = 1 / np.arange(1, head.num_classes + 1)
        prior /= prior.sum()
        truth = random.choice(head.num_classes, num_images, p=prior)
        evidence = 3 * np.eye(head.num_classes)[truth] + random.normal(size=(num_images, head.num_classes))
        odds = np.exp(3 * evidence) * prior
        guess = np.exp(4 * random.normal(size=(num_images, head.num_classes)))
        labels[head.name] = truth
        informed[head.name] = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
        loud[head.name] = (guess / guess.sum(axis=1, keepdims=True)).astype(np.float32)
    ids = np.array([f"Train_{k}" for k in range(num_images)])
    return [Predictions(ids, informed, labels), Predictions(ids, loud, labels)]


def score_of(table: Predictions) -> float:
    assert table.labels is not None
    return competition_score(table.labels, decode(table.probabilities))["score"]


def test_it_believes_the_member_that_knows_and_makes_up_for_its_prior_on_new_images() -> None:
    learn, judge = informed_and_loud(), informed_and_loud(seed=1)
    stacking = fit_stacking(learn, NAMES)
    for name in HEAD_NAMES:
        assert stacking.weights[name][0] > 5 * abs(stacking.weights[name][1])
        frequent, rare = stacking.biases[name][0], stacking.biases[name][-3:].mean()
        assert rare > frequent  # as the score counts them alike
    stacked = apply_stacking(stacking, judge, NAMES)
    assert score_of(stacked) > score_of(combine(judge, NAMES)) + 0.1
    assert score_of(stacked) > score_of(judge[0]) + 0.005
    for name in HEAD_NAMES:
        np.testing.assert_allclose(stacked.probabilities[name].sum(axis=1), 1, rtol=1e-5)


def test_a_class_that_the_fit_had_no_image_of_is_still_there() -> None:
    members = informed_and_loud(300)
    assert members[0].labels is not None
    rows = members[0].labels["vowel_diacritic"] != 7
    stacked = apply_stacking(fit_stacking([take(m, rows) for m in members], NAMES), members, NAMES)
    assert stacked.probabilities["vowel_diacritic"].shape == (300, 11)
    assert np.isfinite(stacked.probabilities["vowel_diacritic"]).all()


def test_the_same_members_give_the_same_model_in_whatever_order_their_images_are() -> None:
    members = informed_and_loud(200)
    turned = [members[0], take(members[1], np.arange(200)[::-1])]
    one, again = (apply_stacking(fit_stacking(m, NAMES), m, NAMES) for m in (members, turned))
    for name in HEAD_NAMES:
        np.testing.assert_array_equal(one.probabilities[name], again.probabilities[name])


def test_members_with_other_images_are_refused() -> None:
    one = make_predictions([f"Train_{k}" for k in range(20)])
    other = make_predictions([f"Train_{k}" for k in range(1, 21)])
    with pytest.raises(InputError, match="Train_0"):
        fit_stacking([one, other], NAMES)
