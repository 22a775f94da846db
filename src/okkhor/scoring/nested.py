"""Honest estimates: what is chosen on some images is judged on others, each image once."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from okkhor.predictions import Labels
from okkhor.schema import HEAD_NAMES

Choice = TypeVar("Choice")
Rows = NDArray[np.bool_]


def decide_nested(
    parts: NDArray[np.int64], fit: Callable[[Rows], Choice], decide: Callable[[Choice, Rows], Labels]
) -> dict[str, NDArray[np.int64]]:
    """For each head, (N,) int64: what is decided for each part of the images by a choice made without that part.

    parts: (N,) int64, the part of each image. fit: rows (N,) bool -> a choice. decide: a choice and n rows -> for each
    head, (n,) int64.
    """
    decided = {name: np.empty(len(parts), np.int64) for name in HEAD_NAMES}
    assert len(np.unique(parts)) > 1, "a single part leaves nothing to choose on"
    for part in np.unique(parts):
        rows = parts == part
        found = decide(fit(~rows), rows)
        for name in HEAD_NAMES:
            decided[name][rows] = found[name]
    return decided


def random_parts(num_images: int, num_parts: int, seed: int) -> NDArray[np.int64]:
    """(N,) int64: parts that differ by one image at most."""
    return np.random.default_rng(seed).permutation(np.arange(num_images) % num_parts)
