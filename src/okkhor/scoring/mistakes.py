"""Mistakes as tables for people: `recall_per_class`, `most_confused`, `confidently_wrong`; and `reliability`."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.label_triples import Labels
from okkhor.predictions import Predictions, Probabilities
from okkhor.schema import HEAD_NAMES, HEADS, Head

Components = Mapping[str, Sequence[str]]
"""For each head, the Bengali text of each class, by label."""


def recall_per_class(
    labels: Labels, decoded: Labels, training_counts: Mapping[str, NDArray[np.int64]], components: Components | None
) -> pd.DataFrame:
    """List the classes that have images, by head, the lowest recall first, among equal ones the most images first.

    Columns: head, label, component (the class's text; only with components), images, training_images, recall (0 to 1),
    whose mean is the head's macro recall. training_counts: for each head, (num_classes,) int64.
    """
    tables = []
    for head, confusion in _count_confusions(labels, decoded):
        totals = confusion.sum(axis=1)
        recalls = confusion.diagonal() / np.maximum(totals, 1)
        order = np.lexsort((-totals, recalls))
        classes = order[totals[order] > 0]
        columns = {
            "head": head.name,
            "label": classes,
            **_texts(components, head, component=classes),
            "images": totals[classes],
            "training_images": training_counts[head.name][classes],
            "recall": recalls[classes],
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def most_confused(labels: Labels, decoded: Labels, num: int, components: Components | None = None) -> pd.DataFrame:
    """List each head's `num` most frequent pairs of a true class and another class decoded instead.

    Columns: head, truth, decoded, truth_text and decoded_text (only with components), images, share (of the images of
    the true class, 0 to 1). The most frequent pair comes first.
    """
    tables = []
    for head, confusion in _count_confusions(labels, decoded):
        totals = confusion.sum(axis=1)
        np.fill_diagonal(confusion, 0)
        order = np.argsort(-confusion, axis=None, kind="stable")[: min(num, np.count_nonzero(confusion))]
        truth, wrong = np.divmod(order, head.num_classes)
        columns = {
            "head": head.name,
            "truth": truth,
            "decoded": wrong,
            **_texts(components, head, truth_text=truth, decoded_text=wrong),
            "images": confusion[truth, wrong],
            "share": confusion[truth, wrong] / totals[truth],
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def confidently_wrong(
    predictions: Predictions, decoded: Labels, num: int, components: Components | None = None
) -> pd.DataFrame:
    """List the `num` most confident mistakes of all heads together: here the label may be the mistake.

    Columns: image_id, head, truth, decoded, truth_text and decoded_text (only with components), decoded_probability,
    truth_probability. The highest decoded_probability comes first, among equal ones the lowest truth_probability. The
    decoded class need not be the most probable one: a rule that divides by priors may decide against it.
    """
    assert predictions.labels is not None, "mistakes are found by labels"
    tables = []
    for head in HEADS:
        (rows,) = np.nonzero(decoded[head.name] != predictions.labels[head.name])
        truth, wrong = predictions.labels[head.name][rows], decoded[head.name][rows]
        columns = {
            "image_id": predictions.image_ids[rows].astype(object),
            "head": head.name,
            "truth": truth,
            "decoded": wrong,
            **_texts(components, head, truth_text=truth, decoded_text=wrong),
            "decoded_probability": predictions.probabilities[head.name][rows, wrong],
            "truth_probability": predictions.probabilities[head.name][rows, truth],
        }
        tables.append(pd.DataFrame(columns))
    by, ascending = ["decoded_probability", "truth_probability"], [False, True]
    return pd.concat(tables).sort_values(by, ascending=ascending, kind="stable", ignore_index=True).head(num)


def _count_confusions(labels: Labels, decoded: Labels) -> Iterator[tuple[Head, NDArray[np.int64]]]:
    """For each head, (num_classes, num_classes): the images of each true class, in rows, decoded as each class."""
    for head in HEADS:
        cells = np.bincount(labels[head.name] * head.num_classes + decoded[head.name], minlength=head.num_classes**2)
        yield head, cells.reshape(head.num_classes, head.num_classes)


def _texts(components: Components | None, head: Head, **columns: NDArray[np.int64]) -> dict[str, NDArray[np.object_]]:
    """Return for each column of labels, (N,) int64, the texts of their classes; without components no columns."""
    if components is None:
        return {}
    texts = np.asarray(components[head.name], dtype=object)
    return {name: texts[labels] for name, labels in columns.items()}


def reliability(labels: Labels, probabilities: Probabilities, num_bins: int = 10) -> pd.DataFrame:
    """Put each head's images into equal bins of the highest probability, from low to high.

    Columns: head, bin_from (exclusive), bin_to (inclusive), images, confidence (the mean of the highest probabilities),
    accuracy (the share whose most probable class is the truth). The last two are NaN in an empty bin.
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
