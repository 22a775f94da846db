"""Whether the probabilities mean what they say: of the images read with 80 % confidence, 80 % should be right.

Guo et al. 2017, arXiv:1706.04599. It is about the most probable class, whatever rule decides in the end.
"""

import numpy as np
import pandas as pd

from okkhor.predictions import Labels, Probabilities
from okkhor.schema import HEAD_NAMES


def reliability(labels: Labels, probabilities: Probabilities, num_bins: int = 10) -> pd.DataFrame:
    """For each head, a row for each of num_bins equal ranges of the highest probability, from low to high.

    head; bin_from, bin_to: above the first and up to the second, 0 to 1; images: how many fall in; confidence: the mean
    of their highest probabilities; accuracy: the share whose most probable class is the truth. The last two are NaN
    where no image falls in.
    """
    edges = np.linspace(0, 1, num_bins + 1)
    tables = []
    for name in HEAD_NAMES:
        highest = probabilities[name].max(axis=1).astype(np.float64)
        right = probabilities[name].argmax(axis=1) == labels[name]
        bins = np.searchsorted(edges[1:-1], highest)
        images = np.bincount(bins, minlength=num_bins)
        divisor = np.where(images > 0, images, np.nan)
        columns = {
            "head": name,
            "bin_from": edges[:-1],
            "bin_to": edges[1:],
            "images": images,
            "confidence": np.bincount(bins, highest, num_bins) / divisor,
            "accuracy": np.bincount(bins, right, num_bins) / divisor,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def expected_calibration_error(table: pd.DataFrame) -> dict[str, float]:
    """For each head, the mean over the images of |confidence - accuracy| of their bin (0 to 1), from `reliability`."""
    errors = {}
    for name in HEAD_NAMES:
        bins = table[(table["head"] == name) & (table["images"] > 0)]
        errors[name] = float(np.average((bins["confidence"] - bins["accuracy"]).abs(), weights=bins["images"]))
    return errors
