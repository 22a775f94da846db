"""Which exponents a decision rule needs: chosen out of fold, and judged on images that had no part in the choice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from okkhor.predictions import Labels, Predictions
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.decoding import (
    PARAMETERS,
    PriorName,
    Rule,
    RuleName,
    decide,
    make_sources,
    measure_priors,
)
from okkhor.scoring.metric import macro_recall
from okkhor.scoring.nested import decide_nested
from okkhor.scoring.trained_graphemes import TrainedGraphemes, merge_graphemes

EXPONENTS = tuple(round(0.1 * step, 1) for step in range(16))  # 0 to 1.5


@dataclass(frozen=True)
class OutOfFold:
    """What the network of one fold says of the images that it was not trained on; labels are known."""

    predictions: Predictions
    graphemes: TrainedGraphemes


@dataclass(frozen=True)
class Choice:
    """parameter: the place of the parameter in PARAMETERS; exponents: for each head, the place in EXPONENTS."""

    parameter: int
    exponents: dict[str, int]


class Candidates:
    """All decisions that a rule can come to: for each head, (P, T, N) uint8, for P parameters and T exponents.

    The priors are those of each fold's own network, and no label has a part in them.
    """

    def __init__(self, rule: RuleName, folds: Sequence[OutOfFold], prior: PriorName) -> None:
        self.exponents = (0.0,) if rule == "argmax" else EXPONENTS
        self.decided: dict[str, NDArray[np.uint8]] = {}
        parts: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in HEAD_NAMES}
        for fold in folds:
            sources = make_sources(rule, PARAMETERS[rule], fold.predictions, fold.graphemes)
            priors = [measure_priors(source, fold.graphemes, prior) for source in sources]
            for name in HEAD_NAMES:
                found = [
                    decide(source[name], p[name], self.exponents) for source, p in zip(sources, priors, strict=True)
                ]
                parts[name].append(np.stack(found))
        self.decided = {name: np.concatenate(parts[name], axis=2) for name in HEAD_NAMES}

    def choose(self, labels: Labels, rows: NDArray[np.bool_]) -> Choice:
        """The best parameter, and for each head the best exponent, by macro recall over these rows of the N."""
        recalls = {name: _recalls(self.decided[name][:, :, rows], labels[name][rows]) for name in HEAD_NAMES}
        weights = {head.name: head.score_weight for head in HEADS}
        totals = sum(weights[name] * recalls[name].max(axis=1) for name in HEAD_NAMES)
        parameter = int(np.argmax(totals))
        return Choice(parameter, {name: int(recalls[name][parameter].argmax()) for name in HEAD_NAMES})

    def take(self, choice: Choice, rows: NDArray[np.bool_]) -> dict[str, NDArray[np.int64]]:
        """For each head, the labels (n,) int64 that the choice decides for these rows."""
        return {
            name: self.decided[name][choice.parameter, choice.exponents[name]][rows].astype(np.int64)
            for name in HEAD_NAMES
        }


def _recalls(decided: NDArray[np.uint8], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """(P, T, n), (n,) -> (P, T) macro recall."""
    return np.array([[macro_recall(truth, labels) for labels in row] for row in decided])


def choose_rule(rule: RuleName, folds: Sequence[OutOfFold], prior: PriorName) -> Rule:
    """The rule with the parameter and exponents that are best out of fold, over all folds at once, for new images."""
    candidates = Candidates(rule, folds, prior)
    labels = join_labels(folds)
    choice = candidates.choose(labels, np.ones(len(labels[HEAD_NAMES[0]]), bool))
    parameter = PARAMETERS[rule][choice.parameter]
    priors = []
    for fold in folds:
        (source,) = make_sources(rule, (parameter,), fold.predictions, fold.graphemes)
        priors.append(measure_priors(source, fold.graphemes, prior))
    return Rule(
        name=rule,
        parameter=parameter,
        exponents={name: candidates.exponents[choice.exponents[name]] for name in HEAD_NAMES},
        priors={name: np.mean([part[name] for part in priors], axis=0) for name in HEAD_NAMES},
        graphemes=merge_graphemes([fold.graphemes for fold in folds]),
    )


def decide_out_of_fold(
    rule: RuleName, folds: Sequence[OutOfFold], prior: PriorName, parts: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    """For each head, (N,) int64: each part of the images decided by what is best on the others. parts: (N,) int64."""
    candidates, labels = Candidates(rule, folds, prior), join_labels(folds)
    return decide_nested(parts, lambda rows: candidates.choose(labels, rows), candidates.take)


def join_labels(folds: Sequence[OutOfFold]) -> dict[str, NDArray[np.int64]]:
    """The true labels of all folds, one after the other."""
    known = [fold.predictions.labels for fold in folds if fold.predictions.labels is not None]
    assert len(known) == len(folds), "out-of-fold predictions have labels"
    return {name: np.concatenate([labels[name] for labels in known]) for name in HEAD_NAMES}
