"""Which images an epoch draws oftener."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from okkhor.schema import HEAD_NAMES

ROOT = "grapheme_root"


def sampling_weights(
    scheme: Literal["plain", "balanced", "grapheme"], labels: Mapping[str, NDArray[np.int64]]
) -> NDArray[np.float64] | None:
    """(N,) float64, of mean 1; None where each image is to be seen once an epoch.

    balanced: 1 / sqrt(images of its root): a root that is 44 times as frequent as another, the extreme of the
    competition, is drawn 6.6 times as often. Square-root sampling, Mahajan et al. 2018, arXiv:1805.00932.
    grapheme: every label triple as often as every other.
    """
    if scheme == "plain":
        return None
    groups = labels[ROOT] if scheme == "balanced" else np.stack([labels[name] for name in HEAD_NAMES], axis=1)
    _, group, counts = np.unique(groups, axis=0, return_inverse=True, return_counts=True)
    weights = counts[group.reshape(-1)] ** (-0.5 if scheme == "balanced" else -1.0)
    return np.asarray(weights / weights.mean(), np.float64)
