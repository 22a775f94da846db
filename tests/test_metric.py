"""The competition's score, held against scikit-learn and against hand-made cases."""

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from okkhor.schema import HEADS, PRIVATE_UNSEEN
from okkhor.scoring.decoding import decode
from okkhor.scoring.metric import competition_score, macro_recall, score_subsets, weighted_mean

Guesses = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


@pytest.fixture
def guesses() -> Guesses:
    """4,000 unevenly spread labels with every class, and guesses of which some 60 % are right."""
    random = np.random.default_rng(0)
    labels, decoded = {}, {}
    for head in HEADS:
        shares = 1 / np.arange(1, head.num_classes + 1)
        drawn = random.choice(head.num_classes, 4000 - head.num_classes, p=shares / shares.sum())
        truth = random.permutation(np.concatenate([np.arange(head.num_classes), drawn]))
        wrong = random.integers(0, head.num_classes, 4000)
        labels[head.name] = truth
        decoded[head.name] = np.where(random.random(4000) < 0.6, truth, wrong)
    return labels, decoded


def test_recall_of_each_head_matches_scikit_learn_over_the_whole_set(guesses: Guesses) -> None:
    labels, decoded = guesses
    scores = competition_score(labels, decoded)
    for name in labels:
        assert scores[name] == pytest.approx(recall_score(labels[name], decoded[name], average="macro"))


def test_the_score_is_kaggles_own_formula(guesses: Guesses) -> None:
    labels, decoded = guesses
    names = ("grapheme_root", "vowel_diacritic", "consonant_diacritic")
    recalls = [recall_score(labels[name], decoded[name], average="macro") for name in names]
    assert competition_score(labels, decoded)["score"] == pytest.approx(np.average(recalls, weights=[2, 1, 1]))


def test_the_recall_is_not_precision(guesses: Guesses) -> None:
    labels, decoded = (part["grapheme_root"] for part in guesses)
    assert macro_recall(labels, decoded) != pytest.approx(precision_score(labels, decoded, average="macro"), abs=0.01)
    assert macro_recall(labels, decoded) != pytest.approx(macro_recall(decoded, labels), abs=0.01)


def test_the_recall_is_not_the_mean_over_batches(guesses: Guesses) -> None:
    labels, decoded = (part["grapheme_root"] for part in guesses)
    batches = [macro_recall(labels[k : k + 64], decoded[k : k + 64]) for k in range(0, 4000, 64)]
    assert macro_recall(labels, decoded) != pytest.approx(np.mean(batches), abs=0.005)


def test_every_class_counts_the_same_however_many_images_it_has() -> None:
    truth = np.array([0] * 98 + [1] * 2)
    assert macro_recall(truth, np.zeros(100, int)) == 0.5
    assert macro_recall(truth, truth) == 1


def test_a_class_absent_from_the_truth_is_not_counted() -> None:
    truth, decoded = np.array([0, 0, 1, 1]), np.array([0, 5, 1, 1])
    assert macro_recall(truth, decoded) == 0.75
    with pytest.warns(UserWarning, match="Recall is ill-defined"):
        assert recall_score(truth, decoded, average="macro") == 0.5  # what this differs from


def test_the_weights_are_those_of_the_heads() -> None:
    assert weighted_mean({"grapheme_root": 1, "vowel_diacritic": 0, "consonant_diacritic": 0}) == 0.5
    assert weighted_mean({"consonant_diacritic": 1, "vowel_diacritic": 0, "grapheme_root": 0}) == 0.25


def test_decoding_takes_the_most_probable_class_of_each_head() -> None:
    random = np.random.default_rng(0)
    probabilities = {h.name: random.random((50, h.num_classes), np.float32) for h in HEADS}
    for name, labels in decode(probabilities).items():
        assert labels.dtype == np.int64
        assert labels.tolist() == [max(range(len(row)), key=row.__getitem__) for row in probabilities[name]]


def test_the_views_separate_what_training_had_and_what_it_lacked(guesses: Guesses) -> None:
    labels, decoded = guesses
    unseen = np.random.default_rng(1).random(4000) < 0.2
    scores = score_subsets(labels, decoded, unseen)
    assert list(scores) == ["all", "seen", "unseen", "mix"]
    assert scores["all"] == competition_score(labels, decoded)
    for view, rows in (("seen", ~unseen), ("unseen", unseen)):
        truth, guess = ({name: values[rows] for name, values in table.items()} for table in guesses)
        assert scores[view] == competition_score(truth, guess)


def test_the_mix_is_that_of_a_set_in_which_unseen_graphemes_are_as_frequent_as_in_the_private_test() -> None:
    truth, unseen = np.tile(np.arange(7), 200), np.arange(1400) % 2 == 0
    labels = {head.name: truth for head in HEADS}
    decoded = {head.name: np.where(unseen, (truth + 1) % 7, truth) for head in HEADS}
    assert score_subsets(labels, decoded, unseen)["mix"]["score"] == pytest.approx(1 - PRIVATE_UNSEEN)


def test_at_the_private_tests_own_share_the_mix_is_the_whole() -> None:
    random = np.random.default_rng(0)
    labels = {head.name: random.integers(0, head.num_classes, 500) for head in HEADS}
    decoded = {name: np.where(random.random(500) < 0.5, values, 0) for name, values in labels.items()}
    scores = score_subsets(labels, decoded, np.arange(500) < 29)
    assert scores["mix"]["score"] == pytest.approx(scores["all"]["score"])


@pytest.mark.parametrize("unseen", [None, np.zeros(4000, bool), np.ones(4000, bool)])
def test_without_both_kinds_of_images_there_is_only_the_whole(guesses: Guesses, unseen: np.ndarray | None) -> None:
    assert list(score_subsets(*guesses, unseen)) == ["all"]
