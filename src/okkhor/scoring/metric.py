"""The competition's score: macro recall of each head, averaged 2:1:1."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import recall_score

from okkhor.predictions import Labels
from okkhor.schema import HEADS


def macro_recall(truth: NDArray[np.int64], decoded: NDArray[np.int64]) -> float:
    """The mean, over the classes present in the truth, of the share of a class's images that are decoded right.

    truth, decoded: (N,) int64. Kaggle's set has all classes; in a small fold scikit-learn's default would count a
    class that is absent but predicted once as a recall of 0.
    """
    return float(recall_score(truth, decoded, labels=np.unique(truth), average="macro", zero_division=0))


def competition_score(labels: Labels, decoded: Labels) -> dict[str, float]:
    """`score`, the weighted mean, and the macro recall of each head, over all images at once (0 to 1)."""
    recalls = {head.name: macro_recall(labels[head.name], decoded[head.name]) for head in HEADS}
    return {"score": weighted_mean(recalls), **recalls}


def weighted_mean(values: Mapping[str, float]) -> float:
    """The mean over the heads, with their weights in the score."""
    return float(np.average([values[head.name] for head in HEADS], weights=[head.score_weight for head in HEADS]))
