"""Which exponents a decision rule needs: chosen out of fold, and judged on images that had no part in the choice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from okkhor.predictions import Predictions, concatenate
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.decoding import PARAMETERS, PriorName, Priors, Rule, RuleName, decide, make_sources, measure_priors
from okkhor.scoring.metric import macro_recall, subsets_of
from okkhor.scoring.nested import decide_nested
from okkhor.scoring.trained_graphemes import TrainedGraphemes, merge_graphemes

EXPONENTS = tuple(round(0.1 * step, 1) for step in range(-5, 16))  # below 0: a loss that adjusted too far


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

    The priors are those of each fold's own network, and no label has a part in them. Where it is known which images are
    of unseen graphemes, decisions are compared on the mix of the private test.
    """

    def __init__(self, rule: RuleName, folds: Sequence[OutOfFold], prior: PriorName) -> None:
        self.rule, self.folds, self.prior = rule, folds, prior
        self.exponents = (0.0,) if rule == "argmax" else EXPONENTS
        self.priors: list[list[Priors]] = []  # for each fold and parameter
        parts: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in HEAD_NAMES}
        for fold in folds:
            self.priors.append([])
            found: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in HEAD_NAMES}
            for source in make_sources(rule, PARAMETERS[rule], fold.predictions, fold.graphemes):
                priors = measure_priors(source, fold.graphemes, prior)
                self.priors[-1].append(priors)
                for name in HEAD_NAMES:
                    found[name].append(decide(source[name], priors[name], self.exponents))
            for name in HEAD_NAMES:
                parts[name].append(np.stack(found[name]))
        self.decided = {name: np.concatenate(parts[name], axis=2) for name in HEAD_NAMES}
        whole = concatenate([fold.predictions for fold in folds])
        assert whole.labels is not None, "out-of-fold predictions have labels"
        self.labels = whole.labels
        subsets = subsets_of(whole.unseen, len(whole))
        self.weights = subsets.get("mix", subsets["all"])

    def choose(self, rows: NDArray[np.bool_]) -> Choice:
        """The best parameter, and for each head the best exponent, by macro recall over these rows of the N."""
        recalls = {name: self._measure(name, rows) for name in HEAD_NAMES}
        totals = sum(head.score_weight * recalls[head.name].max(axis=1) for head in HEADS)
        parameter = int(np.argmax(totals))
        return Choice(parameter, {name: int(recalls[name][parameter].argmax()) for name in HEAD_NAMES})

    def _measure(self, name: str, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(P, T): macro recall of a head."""
        truth, weights = self.labels[name][rows], self.weights[rows]
        return np.array([[macro_recall(truth, labels[rows], weights) for labels in row] for row in self.decided[name]])

    def take(self, choice: Choice, rows: NDArray[np.bool_]) -> dict[str, NDArray[np.int64]]:
        """For each head, the labels (n,) int64 that the choice decides for these rows."""
        return {
            name: self.decided[name][choice.parameter, choice.exponents[name]][rows].astype(np.int64)
            for name in HEAD_NAMES
        }

    def decide_out_of_fold(self, parts: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """For each head, (N,) int64: each part of the images as is best on the others. parts: (N,) int64."""
        return decide_nested(parts, self.choose, self.take)

    def make_rule(self) -> Rule:
        """The rule that is best out of fold, over all folds at once, for new images."""
        choice = self.choose(np.ones(len(self.weights), bool))
        priors = [of_fold[choice.parameter] for of_fold in self.priors]
        return Rule(
            name=self.rule,
            parameter=PARAMETERS[self.rule][choice.parameter],
            exponents={name: self.exponents[choice.exponents[name]] for name in HEAD_NAMES},
            priors={name: np.mean([prior[name] for prior in priors], axis=0) for name in HEAD_NAMES},
            graphemes=merge_graphemes([fold.graphemes for fold in self.folds]),
        )
