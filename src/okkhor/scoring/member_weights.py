"""Stacking: a regularised linear model learns, out of fold, how far to believe each member, and each class.

Wolpert 1992, Stacked generalization. A class scores the weighted sum of the members' log-probabilities, plus a number
of its own; softmax of the scores are the probabilities: a geometric mean with learnt weights and learnt priors. A free
weight for each class of each member (56,000 for the roots of two members) overfits: .899 where the plain mean has .913
(EXPERIMENTS.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from okkhor.label_triples import Labels
from okkhor.predictions import Predictions, blocks
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.decoding import decode
from okkhor.scoring.ensembling import Mean, align, combine, transform
from okkhor.scoring.metric import competition_score

NUM_RIVALS = 2  # most probable classes of each member, which the truth is held against
INVERSE_REGULARISATION = 0.01  # scikit-learn's C


@dataclass(frozen=True)
class Stacking:
    """For each head: weights, (M,) float64, of the members; biases, (num_classes,) float64."""

    weights: dict[str, NDArray[np.float64]]
    biases: dict[str, NDArray[np.float64]]


def fit_stacking(members: Sequence[Predictions], names: Sequence[str]) -> Stacking:
    """Logistic regression on pairs: of the true class of an image and a rival, which one is the truth?

    Features are the differences of the two classes' log-probabilities, and which classes they are. Each class counts
    alike, as in macro recall.
    """
    labels = members[0].labels
    assert labels is not None, "only where labels are known there is something to learn"
    aligned = [align(member, members[0], name, names[0]) for member, name in zip(members, names, strict=True)]
    weights, biases = {}, {}
    for head in HEADS:
        truth = labels[head.name]
        differences, true, rivals = _make_pairs([member.probabilities[head.name] for member in aligned], truth)
        classes = sparse.eye_array(head.num_classes, format="csr")
        features = sparse.hstack([sparse.csr_array(differences), classes[true] - classes[rivals]], format="csr")
        sign = np.where(np.arange(len(true)) % 2 == 0, 1.0, -1.0)  # half of the pairs the other way round
        counts = np.bincount(truth, minlength=head.num_classes)
        importance = len(truth) / np.count_nonzero(counts) / counts[true]
        model = LogisticRegression(C=INVERSE_REGULARISATION, fit_intercept=False, max_iter=1000)
        model.fit(features * sign[:, None], sign, importance)
        weights[head.name], biases[head.name] = np.split(model.coef_[0], [len(aligned)])
    return Stacking(weights, biases)


def _make_pairs(
    members: Sequence[NDArray[np.float32]], truth: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Of P pairs: the differences of log-probabilities, (P, M); the true classes and their rivals, (P,) each."""
    pairs = []
    for block in blocks(len(truth)):
        logs = np.stack([transform(member[block], "geometric") for member in members], axis=2)
        rows, rivals = _find_rivals(logs, truth[block])
        true = truth[block][rows]
        pairs.append((logs[rows, true] - logs[rows, rivals], true, rivals))
    differences, true, rivals = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return differences, true, rivals


def _find_rivals(logs: NDArray[np.float32], truth: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """logs: (N, num_classes, M) -> pairs of an image and a class that some member thinks likely and is not its truth.

    Images whose truth no member thinks likely are left out: of them a likely class would always be the wrong one, and a
    member would seem worse than a guess.
    """
    likely = np.zeros(logs.shape[:2], bool)
    for member in range(logs.shape[2]):
        top = np.argpartition(-logs[:, :, member], NUM_RIVALS, axis=1)[:, :NUM_RIVALS]
        np.put_along_axis(likely, top, True, axis=1)
    likely &= likely[np.arange(len(truth)), truth][:, None]
    likely[np.arange(len(truth)), truth] = False
    rows, rivals = np.nonzero(likely)
    return rows, rivals


def apply_stacking(stacking: Stacking, members: Sequence[Predictions], names: Sequence[str]) -> Predictions:
    """The members' predictions as one, in the order of the first. Without marginals, which have no part in it."""
    aligned = [align(member, members[0], name, names[0]) for member, name in zip(members, names, strict=True)]
    probabilities = {}
    for name in HEAD_NAMES:
        probabilities[name] = np.empty(members[0].probabilities[name].shape, np.float32)
        for rows in blocks(len(members[0])):
            scores = np.tile(stacking.biases[name], (rows.stop - rows.start, 1))
            for member, weight in zip(aligned, stacking.weights[name], strict=True):
                scores += weight * transform(member.probabilities[name][rows], "geometric")
            odds = np.exp(scores - scores.max(axis=1, keepdims=True))
            probabilities[name][rows] = odds / odds.sum(axis=1, keepdims=True)
    return replace(members[0], probabilities=probabilities, marginals=None)


@dataclass(frozen=True)
class Combination:
    """A mean, weighted where weights are given (one for each member); or stacking, where that is given."""

    mean: Mean = "arithmetic"
    weights: tuple[float, ...] | None = None
    stacking: Stacking | None = None

    def apply(self, members: Sequence[Predictions], names: Sequence[str]) -> Predictions:
        """The members' predictions of the same images as one, in the order of the first."""
        if self.stacking is not None:
            return apply_stacking(self.stacking, members, names)
        return combine(members, names, self.mean, self.weights)


NUM_ROUNDS = 20


@dataclass(frozen=True)
class Selection:
    """weights: of the members, of sum 1. score: of their weighted mean on the images that it was selected on."""

    weights: tuple[float, ...]
    score: float


def select_greedily(members: Sequence[Predictions], names: Sequence[str], mean: Mean) -> Selection:
    """The best of the means along the way, so never worse than the best member on these images. They have labels."""
    labels = members[0].labels
    assert labels is not None, "only where labels are known there is a score to select by"
    aligned = [align(member, members[0], name, names[0]) for member, name in zip(members, names, strict=True)]
    # The highest of a mean's classes is that of the sum: no need to divide, or to make rows add up to 1.
    summands = [{name: transform(member.probabilities[name], mean) for name in HEAD_NAMES} for member in aligned]
    totals = {name: np.zeros(values.shape) for name, values in summands[0].items()}
    counts = np.zeros(len(members))
    best, best_score = counts, -1.0
    for _ in range(NUM_ROUNDS):
        trials = [competition_score(labels, _decode_sum(totals, one))["score"] for one in summands]
        chosen = int(np.argmax(trials))
        counts = counts + np.eye(len(members))[chosen]
        for name in HEAD_NAMES:
            totals[name] += summands[chosen][name]
        if trials[chosen] > best_score:
            best, best_score = counts, trials[chosen]
    weights = tuple((best / best.sum()).tolist())
    combined = combine(members, names, mean, weights)
    return Selection(weights, competition_score(labels, decode(combined.probabilities))["score"])


def _decode_sum(totals: Mapping[str, NDArray[np.float64]], summand: Mapping[str, NDArray[np.floating]]) -> Labels:
    """Take the class with the highest sum."""
    decoded = Labels(np.empty((len(totals[HEAD_NAMES[0]]), len(HEADS)), np.int64))
    for name, total in totals.items():
        for rows in blocks(len(total)):
            decoded[name][rows] = (total[rows] + summand[name][rows]).argmax(axis=1)
    return decoded
