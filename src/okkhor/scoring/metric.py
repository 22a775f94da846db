"""`competition_score`: macro recall of each head, averaged 2:1:1; and its bootstrap, `bootstrap_heads`."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from okkhor.label_triples import Labels
from okkhor.schema import HEAD_NAMES, HEADS, PRIVATE_UNSEEN

NUM_DRAWS = 400  # sets of images

Weights = NDArray[np.float64] | None
"""(N,) float64, how much each image counts within its class; None: all alike."""


def macro_recall(truth: NDArray[np.int64], decoded: NDArray[np.integer], weights: Weights = None) -> float:
    """Average over the classes of the truth the share of a class's images that are decoded right. Arguments: (N,).

    Kaggle's set has all classes. In a small fold scikit-learn's recall_score, which is otherwise the same and takes a
    hundred times as long, would count a class that is absent but decoded once as a recall of 0.
    """
    weights = np.ones(len(truth)) if weights is None else weights
    totals, right = np.bincount(truth, weights), np.bincount(truth, weights * (decoded == truth))
    return float((right[totals > 0] / totals[totals > 0]).mean())


def competition_score(labels: Labels, decoded: Labels, weights: Weights = None) -> dict[str, float]:
    """Return `score`, the weighted mean, and the macro recall of each head, over all images at once (0 to 1)."""
    recalls = {name: macro_recall(labels[name], decoded[name], weights) for name in HEAD_NAMES}
    return {"score": weighted_mean(recalls), **recalls}


def weighted_mean(values: Mapping[str, float]) -> float:
    """Average the heads' values with the heads' weights in the score."""
    return float(np.average([values[head.name] for head in HEADS], weights=[head.score_weight for head in HEADS]))


def subsets_of(unseen: NDArray[np.bool_] | None, num_images: int) -> dict[str, NDArray[np.float64]]:
    """Return subsets of the images by name: (N,) float64, how much each image counts.

    `all`: each image alike. Where `unseen`, (N,) bool, tells which images' graphemes were held out of training, also
    `seen`, `unseen`, and `mix`, in which the unseen images weigh as much as in the competition's private test.
    """
    subsets = {"all": np.ones(num_images)}
    if unseen is not None and unseen.any() and not unseen.all():
        mix = np.where(unseen, PRIVATE_UNSEEN / unseen.mean(), (1 - PRIVATE_UNSEEN) / (1 - unseen.mean()))
        subsets |= {"seen": (~unseen).astype(np.float64), "unseen": unseen.astype(np.float64), "mix": mix}
    return subsets


def score_subsets(labels: Labels, decoded: Labels, unseen: NDArray[np.bool_] | None) -> dict[str, dict[str, float]]:
    """Return the competition_score of each subset."""
    subsets = subsets_of(unseen, len(labels.array))
    return {name: competition_score(labels, decoded, weights) for name, weights in subsets.items()}


def bootstrap_heads(
    labels: Labels,
    decisions: Sequence[Labels],
    weights: NDArray[np.float64],
    seed: int = 0,
    num_images: int | None = None,
    groups: NDArray[np.int64] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Score D decisions on NUM_DRAWS sets of images drawn with replacement, the same sets for all decisions.

    Parameters
    ----------
    weights : (N,) float64, an image is drawn in proportion to its own
    num_images : of a drawn set; None: as many as have a weight above 0
    groups : (N,) int64, from 0, such as the writer of each image; as many groups as there are are drawn first, then
        images of the drawn groups, since new images come from other writers too; None: images are drawn alone

    Returns `score` and the macro recall of each head over the classes that are drawn, (D, NUM_DRAWS) float64.
    """
    # columns that are contiguous in memory: 1.7 times as fast
    labels, *decisions = (Labels(np.asfortranarray(table.array), table.names) for table in (labels, *decisions))
    generator = np.random.default_rng(seed)
    chances = weights / weights.sum()
    size = num_images or int(np.count_nonzero(weights))
    draws = []
    for _ in range(NUM_DRAWS):
        drawn = chances
        if groups is not None:
            num_groups = int(groups.max()) + 1
            drawn = chances * generator.multinomial(num_groups, np.full(num_groups, 1 / num_groups))[groups]
        counts = generator.multinomial(size, drawn / drawn.sum()).astype(np.float64)
        draws.append([competition_score(labels, decided, counts) for decided in decisions])
    return {name: np.array([[scores[name] for scores in draw] for draw in draws]).T for name in draws[0][0]}


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of the middle 95 % of the drawn values."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
