"""Several networks' predictions as one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from okkhor.errors import InputError
from okkhor.predictions import Predictions, Probabilities, blocks, take
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import SMALLEST, decode

Mean = Literal["arithmetic", "geometric", "rank"]


def combine(
    members: Sequence[Predictions],
    names: Sequence[str],
    mean: Mean = "arithmetic",
    weights: Sequence[float] | None = None,
) -> Predictions:
    """The mean of members that predict the same images, in the order of the first.

    arithmetic: of the probabilities. geometric: of their logarithms. rank: of the places of the classes within an
    image, from the least to the most probable, however sure a member is (Borda's count).
    names: of the members, for the InputError where their images or their labels differ. weights: one for each, from 0;
    None: all alike.
    """
    shares = np.ones(len(members)) if weights is None else np.asarray(weights, np.float64)
    assert len(shares) == len(members), f"{len(shares)} weights for {len(members)} members"
    assert (shares >= 0).all(), f"weights below 0: {weights}"
    assert shares.sum() > 0, "weights are all 0"
    shares = shares / shares.sum()
    first = members[0]
    aligned = [align(member, first, name, names[0]) for member, name in zip(members, names, strict=True)]
    marginals = [member.marginals for member in aligned if member.marginals is not None]
    return replace(
        first,
        probabilities=_combine_heads([member.probabilities for member in aligned], mean, shares),
        marginals=_combine_heads(marginals, mean, shares) if len(marginals) == len(aligned) else None,
    )


def _combine_heads(
    members: Sequence[Probabilities], mean: Mean, shares: NDArray[np.float64]
) -> dict[str, NDArray[np.float32]]:
    combined = {name: np.empty(members[0][name].shape, np.float32) for name in HEAD_NAMES}
    for name, means in combined.items():
        for rows in blocks(len(means)):
            means[rows] = _combine_rows([member[name][rows] for member in members], mean, shares)
    return combined


def _combine_rows(
    members: Sequence[NDArray[np.float32]], mean: Mean, shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    total = np.zeros(members[0].shape)
    for member, share in zip(members, shares, strict=True):
        if share:
            total += share * transform(member, mean)
    if mean == "geometric":
        total = np.exp(total - total.max(axis=1, keepdims=True))
    if mean != "arithmetic":
        total /= total.sum(axis=1, keepdims=True)
    return total


def transform(probabilities: NDArray[np.float32], mean: Mean) -> NDArray[np.floating]:
    """(N, num_classes): what a mean adds up: the probabilities, their logarithms, or places from 0."""
    if mean == "geometric":
        return np.log(np.maximum(probabilities, SMALLEST))
    if mean == "rank":
        return rankdata(probabilities, axis=1) - 1 + probabilities  # which decides where places are even
    return probabilities


def disagreement(members: Sequence[Predictions], names: Sequence[str]) -> pd.DataFrame:
    """For each pair of members: one, other, and for each head the share of images that they read differently."""
    decided = [
        decode(align(m, members[0], name, names[0]).probabilities) for m, name in zip(members, names, strict=True)
    ]
    rows = [
        {"one": names[i], "other": names[j]}
        | {name: (decided[i][name] != decided[j][name]).mean() for name in HEAD_NAMES}
        for i, j in combinations(range(len(members)), 2)
    ]
    return pd.DataFrame(rows, columns=["one", "other", *HEAD_NAMES])


def align(member: Predictions, to: Predictions, name: str, to_name: str) -> Predictions:
    """The member's rows in the order of `to`. Raises InputError that names the images or labels that differ."""
    aligned = member if np.array_equal(member.image_ids, to.image_ids) else _reorder(member, to, name, to_name)
    if aligned.labels is not None and to.labels is not None:
        _check_labels(aligned.labels, to, name, to_name)
    return aligned


def _reorder(member: Predictions, to: Predictions, name: str, to_name: str) -> Predictions:
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
    return take(member, order[places])


def _check_labels(labels: Mapping[str, NDArray[np.int64]], to: Predictions, name: str, to_name: str) -> None:
    assert to.labels is not None
    for head in HEAD_NAMES:
        differs = np.flatnonzero(labels[head] != to.labels[head])
        if len(differs):
            raise InputError(
                f"{name} and {to_name} have different labels of {to.image_ids[differs[0]]}: {head} "
                f"{labels[head][differs[0]]} and {to.labels[head][differs[0]]}. Their train.csv differ."
            )


def _first(image_ids: np.ndarray) -> str:
    return f"first: {image_ids[0]}" if len(image_ids) else "none"
