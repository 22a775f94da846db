"""The competition's score: macro recall of each head, averaged 2:1:1."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from okkhor.predictions import Labels
from okkhor.schema import HEAD_NAMES, HEADS, PRIVATE_UNSEEN

Weights = NDArray[np.float64] | None
"""(N,) float64, how much each image counts within its class; None: all alike."""


def macro_recall(truth: NDArray[np.int64], decoded: NDArray[np.integer], weights: Weights = None) -> float:
    """The mean, over the classes present in the truth, of the share of a class's images that are decoded right.

    truth, decoded: (N,) int64. Kaggle's set has all classes; in a small fold scikit-learn's recall_score, which this is
    otherwise (in a hundredth of its time), would count a class that is absent but predicted once as a recall of 0.
    """
    weights = np.ones(len(truth)) if weights is None else weights
    totals, right = np.bincount(truth, weights), np.bincount(truth, weights * (decoded == truth))
    return float((right[totals > 0] / totals[totals > 0]).mean())


def competition_score(labels: Labels, decoded: Labels, weights: Weights = None) -> dict[str, float]:
    """`score`, the weighted mean, and the macro recall of each head, over all images at once (0 to 1)."""
    recalls = {name: macro_recall(labels[name], decoded[name], weights) for name in HEAD_NAMES}
    return {"score": weighted_mean(recalls), **recalls}


def weighted_mean(values: Mapping[str, float]) -> float:
    """The mean over the heads, with their weights in the score."""
    return float(np.average([values[head.name] for head in HEADS], weights=[head.score_weight for head in HEADS]))


def subsets_of(unseen: NDArray[np.bool_] | None, num_images: int) -> dict[str, NDArray[np.float64]]:
    """By name, (N,) float64, how much each image counts in a subset of the whole.

    `all`, each alike; and where it is known of which images the grapheme was held out of training, (N,) bool: `seen`,
    `unseen`, and `mix`, in which the unseen ones together weigh as much as in the competition's private test.
    """
    subsets = {"all": np.ones(num_images)}
    if unseen is not None and unseen.any() and not unseen.all():
        share = PRIVATE_UNSEEN
        mix = np.where(unseen, share / unseen.mean(), (1 - share) / (1 - unseen.mean()))
        subsets |= {"seen": (~unseen).astype(np.float64), "unseen": unseen.astype(np.float64), "mix": mix}
    return subsets


def score_subsets(labels: Labels, decoded: Labels, unseen: NDArray[np.bool_] | None) -> dict[str, dict[str, float]]:
    """competition_score of each subset."""
    scores = {}
    for name, weights in subsets_of(unseen, len(labels[HEAD_NAMES[0]])).items():
        rows = weights > 0
        truth, guess = ({key: values[rows] for key, values in table.items()} for table in (labels, decoded))
        scores[name] = competition_score(truth, guess, weights[rows])
    return scores
