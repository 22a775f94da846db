"""How far chance alone moves a score: the bootstrap, Efron 1979."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from okkhor.predictions import Labels
from okkhor.scoring.metric import competition_score

NUM_DRAWS = 400


def bootstrap_heads(
    labels: Labels,
    decisions: Sequence[Labels],
    weights: NDArray[np.float64],
    seed: int = 0,
    num_images: int | None = None,
    groups: NDArray[np.int64] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """`score` and the macro recall of each head, (D, NUM_DRAWS) float64, on sets of images drawn with replacement.

    labels, decisions: for each head, (N,) int64. weights: (N,) float64, an image is drawn in proportion to its own.
    num_images: of a drawn set; None: as many as weigh anything. Macro recall is over the classes that are drawn.
    groups: (N,) int64, from 0, such as the writer of each image; as many groups are drawn first, then images of them,
    since new images come from other writers too.
    """
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
    """The middle 95 % of the drawn values."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
