"""Several networks' predictions as one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from okkhor.errors import InputError
from okkhor.predictions import Predictions
from okkhor.schema import HEADS


def average(members: Sequence[Predictions], names: Sequence[str]) -> Predictions:
    """The mean probabilities of members that predict the same images, in the order of the first.

    names: of the members, for the InputError where their images or their labels differ.
    """
    first = members[0]
    aligned = [align(member, first, name, names[0]) for member, name in zip(members, names, strict=True)]
    probabilities: dict[str, NDArray[np.float32]] = {}
    for head in HEADS:
        total = np.sum([member.probabilities[head.name] for member in aligned], axis=0, dtype=np.float64)
        probabilities[head.name] = np.asarray(total / len(aligned), np.float32)
    return Predictions(first.image_ids, probabilities, first.labels)


def align(member: Predictions, to: Predictions, name: str, to_name: str) -> Predictions:
    """The member's rows in the order of `to`. Raises InputError that names the images or labels that differ."""
    order = np.argsort(member.image_ids)
    places = np.searchsorted(member.image_ids[order], to.image_ids)
    same = len(member) == len(to) and np.array_equal(
        member.image_ids[order][np.minimum(places, len(member) - 1)], to.image_ids
    )
    if not same:
        only_one = np.setdiff1d(member.image_ids, to.image_ids)
        only_other = np.setdiff1d(to.image_ids, member.image_ids)
        raise InputError(
            f"{name} and {to_name} predict different images: {len(only_one)} only in {name} ({_first(only_one)}), "
            f"{len(only_other)} only in {to_name} ({_first(only_other)}). Members need the same data and folds."
        )
    rows = order[places]
    labels = None if member.labels is None else {key: values[rows] for key, values in member.labels.items()}
    if labels is not None and to.labels is not None:
        for head in HEADS:
            differs = np.flatnonzero(labels[head.name] != to.labels[head.name])
            if len(differs):
                raise InputError(
                    f"{name} and {to_name} have different labels of {to.image_ids[differs[0]]}: {head.name} "
                    f"{labels[head.name][differs[0]]} and {to.labels[head.name][differs[0]]}. Their train.csv differ."
                )
    return Predictions(to.image_ids, {key: values[rows] for key, values in member.probabilities.items()}, labels)


def _first(image_ids: np.ndarray) -> str:
    return f"first: {image_ids[0]}" if len(image_ids) else "none"
