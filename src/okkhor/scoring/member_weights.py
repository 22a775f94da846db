"""`Combination`: how members become one; its weights are selected greedily, or learnt by stacking, out of fold.

Stacking (Wolpert 1992, Stacked generalization) is a regularised linear model. A class scores the weighted sum of the
members' log-probabilities, plus a bias of its own; the softmax of the scores are the probabilities: a geometric mean
with learnt weights and learnt priors. A free weight for each class of each member (56,000 for the roots of two members)
overfits: .899 where the plain mean has .913 (EXPERIMENTS.md).
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
from okkhor.scoring.ensembling import Mean, align_members, combine, combine_head, transform
from okkhor.scoring.metric import competition_score

NUM_RIVALS = 2  # most probable classes of each member, which are compared with the true class
INVERSE_REGULARISATION = 0.01  # scikit-learn's C
NUM_ROUNDS = 20  # of greedy selection


@dataclass(frozen=True)
class Stacking:
    """For each head: weights, (M,) float64, of the members; biases, (num_classes,) float64."""

    weights: dict[str, NDArray[np.float64]]
    biases: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Combination:
    """A mean, weighted where weights are given (one for each member); or stacking, where that is given."""

    mean: Mean = "arithmetic"
    weights: tuple[float, ...] | None = None
    stacking: Stacking | None = None

    def apply(self, members: Sequence[Predictions], names: Sequence[str]) -> Predictions:
        """Combine the members' predictions of the same images, in the order of the first member."""
        if self.stacking is None:
            return combine(members, names, self.mean, self.weights)
        weights, biases = self.stacking.weights, self.stacking.biases
        heads = [member.probabilities for member in align_members(members, names)]
        probabilities = {
            name: combine_head([table[name] for table in heads], "geometric", weights[name], biases[name])
            for name in HEAD_NAMES
        }
        return replace(members[0], probabilities=probabilities, marginals=None)  # which stacking has not learnt to use


def fit_stacking(members: Sequence[Predictions], names: Sequence[str]) -> Stacking:
    """Fit a logistic regression on pairs of classes: the true class of an image, and a rival of it.

    Features are the differences of the two classes' log-probabilities, and which classes they are. Each class counts
    alike, as in macro recall.
    """
    labels = members[0].labels
    assert labels is not None, "stacking learns from labels"
    aligned = align_members(members, names)
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
    """Pair each image's true class with the wrong classes that some member thinks likely.

    Returns the differences of log-probabilities, (P, M), the true classes, (P,), and their rivals, (P,). Images whose
    true class no member thinks likely are left out: they would make a member seem worse than a guess.
    """
    pairs = []
    for block in blocks(len(truth)):
        true, images = truth[block], np.arange(block.stop - block.start)
        logs = np.stack([transform(member[block], "geometric") for member in members], axis=2)
        likely = np.zeros(logs.shape[:2], bool)
        for of_member in np.moveaxis(logs, 2, 0):
            top = np.argpartition(-of_member, NUM_RIVALS, axis=1)[:, :NUM_RIVALS]
            np.put_along_axis(likely, top, True, axis=1)
        likely &= likely[images, true][:, None]
        likely[images, true] = False
        rows, rivals = np.nonzero(likely)
        pairs.append((logs[rows, true[rows]] - logs[rows, rivals], true[rows], rivals))
    differences, true, rivals = map(np.concatenate, zip(*pairs, strict=True))
    return differences, true, rivals


def select_greedily(members: Sequence[Predictions], names: Sequence[str], mean: Mean) -> tuple[float, ...]:
    """Return a weight for each member, of sum 1.

    Each round adds the member, perhaps again, whose addition scores highest on these images. The weights are those of
    the best round; the first round is the best member alone, so the mean is never worse than it on these images.
    """
    labels = members[0].labels
    assert labels is not None, "members are selected by their score"
    # The highest of a mean's classes is that of the sum: no need to divide, or to make rows add up to 1.
    summands = [
        {name: transform(member.probabilities[name], mean) for name in HEAD_NAMES}
        for member in align_members(members, names)
    ]
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
    return tuple((best / best.sum()).tolist())


def _decode_sum(totals: Mapping[str, NDArray[np.float64]], summand: Mapping[str, NDArray[np.floating]]) -> Labels:
    """Take the class with the highest sum, a block of images at a time."""
    decoded = Labels(np.empty((len(totals[HEAD_NAMES[0]]), len(HEADS)), np.int64))
    for name, total in totals.items():
        for rows in blocks(len(total)):
            decoded[name][rows] = (total[rows] + summand[name][rows]).argmax(axis=1)
    return decoded
