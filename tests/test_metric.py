"""The score, held against scikit-learn and cases by hand; its bootstrap, held against the binomial distribution."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import recall_score

from okkhor.label_triples import Labels
from okkhor.schema import HEAD_NAMES, HEADS, PRIVATE_UNSEEN
from okkhor.scoring.metric import bootstrap_heads, competition_score, interval, macro_recall, score_subsets

Guesses = tuple[Labels, Labels]


@pytest.fixture
def guesses() -> Guesses:
    """4,000 unevenly spread labels with every class, and decoded ones of which some 60 % are right."""
    random = np.random.default_rng(0)
    labels, decoded = {}, {}
    for head in HEADS:
        shares = 1 / np.arange(1, head.num_classes + 1)
        drawn = random.choice(head.num_classes, 4000 - head.num_classes, p=shares / shares.sum())
        truth = random.permutation(np.concatenate([np.arange(head.num_classes), drawn]))
        labels[head.name] = truth
        decoded[head.name] = np.where(random.random(4000) < 0.6, truth, random.integers(0, head.num_classes, 4000))
    return Labels.from_columns(labels), Labels.from_columns(decoded)


def test_the_score_is_kaggles_formula_with_scikit_learns_recall(guesses: Guesses) -> None:
    labels, decoded = guesses
    scores = competition_score(labels, decoded)
    recalls = [recall_score(labels[name], decoded[name], average="macro") for name in HEAD_NAMES]
    assert [scores[name] for name in HEAD_NAMES] == pytest.approx(recalls)
    assert scores["score"] == pytest.approx(np.average(recalls, weights=[2, 1, 1]))


def test_a_class_absent_from_the_truth_is_not_counted() -> None:
    truth, decoded = np.array([0, 0, 1, 1]), np.array([0, 5, 1, 1])
    assert macro_recall(truth, decoded) == 0.75
    with pytest.warns(UserWarning, match="Recall is ill-defined"):
        assert recall_score(truth, decoded, average="macro") == 0.5  # what this differs from


def test_subsets_separate_what_training_had_and_what_it_lacked(guesses: Guesses) -> None:
    labels, decoded = guesses
    unseen = np.random.default_rng(1).random(4000) < 0.2
    scores = score_subsets(labels, decoded, unseen)
    assert list(scores) == ["all", "seen", "unseen", "mix"]
    for name, rows in (("all", slice(None)), ("seen", ~unseen), ("unseen", unseen)):
        assert scores[name] == competition_score(labels.rows(rows), decoded.rows(rows))


def test_unseen_graphemes_are_as_frequent_in_the_mix_as_in_the_private_test() -> None:
    truth, unseen = np.tile(np.arange(7), 200), np.arange(1400) % 2 == 0
    labels = Labels(np.stack([truth] * 3, axis=1))
    decoded = Labels(np.stack([np.where(unseen, (truth + 1) % 7, truth)] * 3, axis=1))
    assert score_subsets(labels, decoded, unseen)["mix"]["score"] == pytest.approx(1 - PRIVATE_UNSEEN)


@pytest.mark.parametrize("unseen", [None, np.zeros(4000, bool), np.ones(4000, bool)])
def test_without_both_kinds_of_images_there_is_only_the_whole(guesses: Guesses, unseen: np.ndarray | None) -> None:
    assert list(score_subsets(*guesses, unseen)) == ["all"]


def bootstrap_scores(*arguments: Any, **options: Any) -> np.ndarray:
    return bootstrap_heads(*arguments, **options)["score"]


def balanced(share_right: float, images_per_class: int = 40) -> Guesses:
    """Labels of seven classes, the same for all heads, and decoded ones of which this share is right.

    The seed is not 0, that of the draws: the decoded labels would come from the stream that the first draw comes from.
    """
    truth = np.repeat(np.arange(7), images_per_class)
    is_right = np.random.default_rng(100).random(len(truth)) < share_right
    decoded = np.where(is_right, truth, (truth + 1) % 7)
    return Labels(np.stack([truth] * 3, axis=1)), Labels(np.stack([decoded] * 3, axis=1))


def test_the_drawn_scores_lie_around_the_score_as_the_binomial_says() -> None:
    labels, decoded = balanced(0.8)
    score = competition_score(labels, decoded)["score"]
    deviation = np.sqrt(score * (1 - score) / 280)
    drawn = bootstrap_scores(labels, [decoded], np.ones(280))[0]
    assert drawn.mean() == pytest.approx(score, abs=0.003)
    assert drawn.std() == pytest.approx(deviation, rel=0.15)
    low, high = interval(drawn)
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.15)
    quarter = bootstrap_scores(labels, [decoded], np.ones(280), num_images=70)[0]
    assert quarter.std() == pytest.approx(2 * deviation, rel=0.15)


def test_decisions_are_compared_on_the_same_images() -> None:
    labels, decoded = balanced(0.8)
    better = Labels(decoded.array.copy())
    first_wrong = np.flatnonzero(decoded.array[:, 0] != labels.array[:, 0])[0]
    better.array[first_wrong] = labels.array[first_wrong]
    one, same, other = bootstrap_scores(labels, [decoded, decoded, better], np.ones(280))
    assert (same == one).all()
    assert (other >= one).all()
    assert (other - one).std() < one.std() / 3


def test_an_image_without_weight_is_never_drawn() -> None:
    labels, _ = balanced(1.0)
    wrong_for_3 = Labels(np.where(labels.array == 3, 0, labels.array))
    assert (bootstrap_scores(labels, [wrong_for_3], (labels.array[:, 0] != 3).astype(float)) == 1).all()


def test_a_seed_fixes_the_draws() -> None:
    labels, decoded = balanced(0.7)
    first, again, other = (bootstrap_scores(labels, [decoded], np.ones(280), seed=seed) for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_writers_who_differ_move_a_score_more_than_their_images_do() -> None:
    """Ten writers, five decoded right and five wrong: the mean of ten drawn ones has the deviation of a fair coin's."""
    truth, writers = np.tile(np.arange(7), 100), np.repeat(np.arange(10), 70)
    labels = Labels(np.stack([truth] * 3, axis=1))
    decoded = Labels(np.where(writers % 2 == 0, labels.array.T, (labels.array.T + 1) % 7).T)
    by_image = bootstrap_scores(labels, [decoded], np.ones(700))[0]
    by_writer = bootstrap_scores(labels, [decoded], np.ones(700), groups=writers)[0]
    assert by_image.std() == pytest.approx(0.5 / np.sqrt(700), rel=0.15)
    assert by_writer.std() == pytest.approx(0.5 / np.sqrt(10), rel=0.15)
