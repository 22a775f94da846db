"""`combine`: the predictions of several networks or members as one table."""

from collections.abc import Sequence
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
    """Take the mean of members that predict the same images, in the order of the first member.

    Parameters
    ----------
    names : of the members, for the InputError where their images or labels differ
    mean : arithmetic: of the probabilities; geometric: of their logarithms; rank: of the ranks of the classes within an
        image (Borda's count), however confident a member is
    weights : one for each member, from 0; None: all alike
    """
    shares = np.ones(len(members)) if weights is None else np.asarray(weights, np.float64)
    shares = shares / shares.sum()
    aligned = align_members(members, names)
    marginals = [member.marginals for member in aligned if member.marginals is not None]
    return replace(
        members[0],
        probabilities=_combine_heads([member.probabilities for member in aligned], mean, shares),
        marginals=_combine_heads(marginals, mean, shares) if len(marginals) == len(members) else None,
    )


def _combine_heads(tables: Sequence[Probabilities], mean: Mean, shares: NDArray[np.float64]) -> Probabilities:
    return {name: combine_head([table[name] for table in tables], mean, shares) for name in HEAD_NAMES}


def combine_head(
    members: Sequence[NDArray[np.float32]],
    mean: Mean,
    weights: NDArray[np.float64],
    biases: NDArray[np.float64] | float = 0.0,
) -> NDArray[np.float32]:
    """Combine one head's probabilities, (N, num_classes) each, a block of images at a time.

    biases: (num_classes,) float64, added to the weighted sum; softmax follows where the mean is geometric.
    """
    combined = np.empty(members[0].shape, np.float32)
    for rows in blocks(len(combined)):
        total = np.zeros(combined[rows].shape) + biases
        for member, weight in zip(members, weights, strict=True):
            if weight:
                total += weight * transform(member[rows], mean)
        if mean == "geometric":
            total = np.exp(total - total.max(axis=1, keepdims=True))
        if mean != "arithmetic":
            total /= total.sum(axis=1, keepdims=True)
        combined[rows] = total
    return combined


def transform(probabilities: NDArray[np.float32], mean: Mean) -> NDArray[np.floating]:
    """(N, num_classes): what a mean adds up: the probabilities, their logarithms, or the classes' ranks from 0."""
    if mean == "geometric":
        return np.log(np.maximum(probabilities, SMALLEST))
    if mean == "rank":
        return rankdata(probabilities, axis=1) - 1 + probabilities  # the probability decides between equal ranks
    return probabilities


def disagreement(members: Sequence[Predictions], names: Sequence[str]) -> pd.DataFrame:
    """For each pair of members: one, other, and for each head the share of images that they decode differently."""
    decoded = [decode(member.probabilities) for member in align_members(members, names)]
    pairs = combinations(zip(names, decoded, strict=True), 2)
    rows = [[one, other, *(ours.triples != theirs.triples).mean(axis=0)] for (one, ours), (other, theirs) in pairs]
    return pd.DataFrame(rows, columns=["one", "other", *HEAD_NAMES])


def align_members(members: Sequence[Predictions], names: Sequence[str]) -> list[Predictions]:
    """Put each member's rows in the order of the first member's."""
    return [align(member, members[0], name, names[0]) for member, name in zip(members, names, strict=True)]


def align(member: Predictions, to: Predictions, name: str, to_name: str) -> Predictions:
    """Put the member's rows in the order of `to`. Raises InputError that names the images or labels that differ."""
    aligned = member
    if not np.array_equal(member.image_ids, to.image_ids):
        order = pd.Index(member.image_ids).get_indexer(to.image_ids)
        if len(member) != len(to) or (order < 0).any():
            mine, others = np.setdiff1d(member.image_ids, to.image_ids), np.setdiff1d(to.image_ids, member.image_ids)
            raise InputError(
                f"{name} and {to_name} predict different images: {len(mine)} only in {name} ({_first(mine)}), "
                f"{len(others)} only in {to_name} ({_first(others)}). Members need the same data and folds."
            )
        aligned = take(member, order)
    if aligned.labels is not None and to.labels is not None:
        rows, columns = np.nonzero(aligned.labels.triples != to.labels.triples)
        if len(rows):
            row, head = rows[0], HEAD_NAMES[columns[0]]
            raise InputError(
                f"{name} and {to_name} have different labels of {to.image_ids[row]}: {head} "
                f"{aligned.labels[head][row]} and {to.labels[head][row]}. Their train.csv differ."
            )
    return aligned


def _first(image_ids: NDArray[np.str_]) -> str:
    return f"first: {image_ids[0]}" if len(image_ids) else "none"
