"""From probabilities to labels."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def decode(probabilities: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.int64]]:
    """For each head, (N, num_classes) float32 -> (N,) int64: the most probable class."""
    return {name: values.argmax(axis=1).astype(np.int64) for name, values in probabilities.items()}
