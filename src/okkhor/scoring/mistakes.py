"""What is read wrong, as tables for people: which classes, which pairs of classes, which images."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.label_triples import Labels
from okkhor.predictions import Predictions, Probabilities
from okkhor.schema import HEAD_NAMES, HEADS, Head

Components = Mapping[str, Sequence[str]]
"""For each head, the Bengali text of each class, by label."""


def recall_per_class(
    labels: Labels,
    decoded: Labels,
    training_counts: Mapping[str, NDArray[np.int64]] | None = None,
    components: Components | None = None,
) -> pd.DataFrame:
    """A row for each class that has images, by head, the lowest recall first, of equal ones the most images first.

    head, label, images, training_images, recall (0 to 1); component, the class's text, after label. The mean of recall
    is the head's macro recall. labels, decoded: for each head, (N,) int64. training_counts: for each head,
    (num_classes,) int64, of the images trained on; without it there is no training_images, without components no text.
    """
    tables = []
    for head in HEADS:
        confusion = count_confusion(labels[head.name], decoded[head.name], head)
        totals = confusion.sum(axis=1)
        recalls = confusion.diagonal() / np.maximum(totals, 1)
        order = np.lexsort((-totals, recalls))
        classes = order[totals[order] > 0]
        columns = {
            "head": head.name,
            "label": classes,
            **_texts(components, head, component=classes),
            "images": totals[classes],
            **({} if training_counts is None else {"training_images": training_counts[head.name][classes]}),
            "recall": recalls[classes],
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def most_confused(labels: Labels, decoded: Labels, num: int, components: Components | None = None) -> pd.DataFrame:
    """For each head, its num most frequent pairs of a true class and the one read instead, the most frequent first.

    head, truth, decoded, images, share (of the truth's images, 0 to 1); truth_text and decoded_text after decoded,
    where components are given. labels, decoded: for each head, (N,) int64.
    """
    tables = []
    for head in HEADS:
        confusion = count_confusion(labels[head.name], decoded[head.name], head)
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
    """The num wrong labels, of all heads together, that are given with the highest probability: the label may be wrong.

    image_id, head, truth, decoded, decoded_probability, truth_probability; truth_text and decoded_text after decoded,
    where components are given. Of equally probable ones the least probable truth first. predictions: with labels.
    decoded: for each head, (N,) int64; a rule that divides by priors may decide against the most probable class.
    """
    assert predictions.labels is not None, "without labels nothing is known to be wrong"
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
    table = pd.concat(tables, ignore_index=True)
    by, ascending = ["decoded_probability", "truth_probability"], [False, True]
    return table.sort_values(by, ascending=ascending, kind="stable", ignore_index=True).head(num)


def count_confusion(truth: NDArray[np.int64], decoded: NDArray[np.int64], head: Head) -> NDArray[np.int64]:
    """(num_classes, num_classes) int64: the images of each true class, in rows, that are read as each class."""
    cells = np.bincount(truth * head.num_classes + decoded, minlength=head.num_classes**2)
    return cells.astype(np.int64).reshape(head.num_classes, head.num_classes)


def _texts(components: Components | None, head: Head, **columns: NDArray[np.int64]) -> dict[str, NDArray[np.object_]]:
    """By column, labels (N,) int64 -> the texts of their classes; no columns without components."""
    if components is None:
        return {}
    texts = np.asarray(components[head.name], dtype=object)
    return {name: texts[labels] for name, labels in columns.items()}


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
