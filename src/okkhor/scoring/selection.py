"""How much each member of an ensemble weighs: greedy selection on the out-of-fold score.

Caruana et al. 2004, Ensemble selection from libraries of models: the best member first, then again and again the one
that raises the score of the mean most, with replacement, so that a member's weight is how often it was taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from okkhor.predictions import Predictions, blocks
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode
from okkhor.scoring.ensembling import Mean, align, combine, transform
from okkhor.scoring.metric import competition_score

NUM_ROUNDS = 20


@dataclass(frozen=True)
class Selection:
    """weights: of the members, of sum 1. score: of their weighted mean on the images that it was selected on."""

    weights: tuple[float, ...]
    score: float


def select_greedily(members: Sequence[Predictions], names: Sequence[str], mean: Mean) -> Selection:
    """The best of the means along the way, so never worse than the best member on these images. They have labels."""
    labels = members[0].labels
    assert labels is not None, "only where labels are known there is a score to select by"
    aligned = [align(member, members[0], name, names[0]) for member, name in zip(members, names, strict=True)]
    # The highest of a mean's classes is that of the sum: no need to divide, or to make rows add up to 1.
    summands = [{name: transform(member.probabilities[name], mean) for name in HEAD_NAMES} for member in aligned]
    totals = {name: np.zeros(values.shape) for name, values in summands[0].items()}
    counts = np.zeros(len(members))
    best, best_score = counts, -1.0
    for _ in range(NUM_ROUNDS):
        trials = [competition_score(labels, _decode_sum(totals, one))["score"] for one in summands]
        chosen = int(np.argmax(trials))
        counts = counts + np.eye(len(members))[chosen]
        for name in HEAD_NAMES:
            totals[name] += summands[chosen][name]
        if trials[chosen] > best_score:
            best, best_score = counts, trials[chosen]
    weights = tuple((best / best.sum()).tolist())
    combined = combine(members, names, mean, weights)
    return Selection(weights, competition_score(labels, decode(combined.probabilities))["score"])


def _decode_sum(
    totals: Mapping[str, NDArray[np.float64]], summand: Mapping[str, NDArray[np.floating]]
) -> dict[str, NDArray[np.int64]]:
    """For each head, (N,) int64: the class of the highest sum."""
    decoded = {name: np.empty(len(total), np.int64) for name, total in totals.items()}
    for name, total in totals.items():
        for rows in blocks(len(total)):
            decoded[name][rows] = (total[rows] + summand[name][rows]).argmax(axis=1)
    return decoded
