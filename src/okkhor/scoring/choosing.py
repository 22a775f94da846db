"""`Candidates`: a rule's exponents and parameter, chosen out of fold, and judged on images that had no part in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from okkhor.label_triples import Labels, TripleCounts, merge_triples
from okkhor.predictions import Predictions, Probabilities, blocks, concatenate, take
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.decoding import PARAMETERS, PriorName, Priors, Rule, RuleName, decide, measure_priors, rule_inputs
from okkhor.scoring.metric import macro_recall, subsets_of

EXPONENTS = tuple(round(0.1 * step, 1) for step in range(-5, 16))  # below 0: a loss that adjusted too far


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of one fold's network for its validation images, with labels, and what the network was trained on."""

    predictions: Predictions
    graphemes: TripleCounts


def split_folds(whole: Predictions, lengths: Sequence[int], graphemes: Sequence[TripleCounts]) -> list[OutOfFold]:
    """Split a table of all folds, one after the other, into its folds; nothing is copied."""
    ends = np.cumsum(lengths).tolist()
    parts = [take(whole, slice(end - length, end)) for end, length in zip(ends, lengths, strict=True)]
    return list(map(OutOfFold, parts, graphemes))


def join_truth(folds: Sequence[OutOfFold]) -> Predictions:
    """Join the folds' ids, labels and unseen, without probabilities, whose copy would be large."""
    return concatenate([replace(fold.predictions, probabilities={}, marginals=None) for fold in folds])


def inputs_in_blocks(rule: RuleName, fold: OutOfFold) -> Iterator[tuple[slice, int, Probabilities]]:
    """Yield rows, the place of a parameter in PARAMETERS, and the probabilities that the rule decides by."""
    for rows in blocks(len(fold.predictions)):
        tables = rule_inputs(rule, PARAMETERS[rule], take(fold.predictions, rows), fold.graphemes)
        for parameter, probabilities in enumerate(tables):
            yield rows, parameter, probabilities


def fold_priors(rule: RuleName, fold: OutOfFold, prior: PriorName) -> list[Priors]:
    """For each parameter, the fold's priors. posterior: the means of the probabilities that the rule decides by."""
    if prior == "counts":
        return [measure_priors(fold.graphemes)] * len(PARAMETERS[rule])
    totals = [{head.name: np.zeros(head.num_classes) for head in HEADS} for _ in PARAMETERS[rule]]
    for _, parameter, probabilities in inputs_in_blocks(rule, fold):
        for name, total in totals[parameter].items():
            total += probabilities[name].sum(axis=0, dtype=np.float64)
    means = [{name: total / len(fold.predictions) for name, total in one.items()} for one in totals]
    return [measure_priors(fold.graphemes, mean) for mean in means]


class Candidates:
    """All decisions that a rule can come to, and the choice of the best.

    Each fold has the priors of its own network, measured without labels. Where it is known which images are of unseen
    graphemes, decisions are compared on the mix of seen and unseen in the private test.
    """

    def __init__(self, rule: RuleName, folds: Sequence[OutOfFold], prior: PriorName) -> None:
        whole = join_truth(folds)
        assert whole.labels is not None, "out-of-fold predictions have labels"
        self.rule, self.graphemes, self.labels = rule, [fold.graphemes for fold in folds], whole.labels
        self.exponents = (0.0,) if rule == "argmax" else EXPONENTS
        self.decided = np.empty((len(HEADS), len(PARAMETERS[rule]), len(self.exponents), len(whole)), np.uint8)
        self.priors: list[list[Priors]] = []  # for each fold and parameter
        start = 0
        for fold in folds:
            self.priors.append(fold_priors(rule, fold, prior))
            for rows, parameter, probabilities in inputs_in_blocks(rule, fold):
                place = slice(start + rows.start, start + rows.stop)
                for column, name in enumerate(HEAD_NAMES):
                    labels = decide(probabilities[name], self.priors[-1][parameter][name], self.exponents)
                    self.decided[column, parameter, :, place] = labels
            start += len(fold.predictions)
        subsets = subsets_of(whole.unseen, len(whole))
        self.weights = subsets.get("mix", subsets["all"])

    def _choose(self, rows: NDArray[np.bool_]) -> tuple[int, list[int]]:
        """Return the places of the best parameter and of each head's best exponent, by macro recall over these rows."""
        recalls, weights = np.empty(self.decided.shape[:3]), self.weights[rows]
        for column, name in enumerate(HEAD_NAMES):
            truth = self.labels[name][rows]
            for place in np.ndindex(recalls.shape[1:]):
                recalls[column, *place] = macro_recall(truth, self.decided[column, *place][rows], weights)
        totals = sum(head.score_weight * best for head, best in zip(HEADS, recalls.max(axis=2), strict=True))
        parameter = int(np.argmax(totals))
        return parameter, recalls[:, parameter].argmax(axis=1).tolist()

    def decide_out_of_fold(self, parts: NDArray[np.int64]) -> Labels:
        """Decide each part of the images as is best on the other parts. parts: (N,) int64, the part of each image."""
        decided = Labels(np.empty((len(parts), len(HEADS)), np.int64))
        assert len(np.unique(parts)) > 1, "a single part leaves nothing to choose on"
        for part in np.unique(parts):
            rows = parts == part
            parameter, exponents = self._choose(~rows)
            for column, exponent in enumerate(exponents):
                decided.array[rows, column] = self.decided[column, parameter, exponent][rows]
        return decided

    def make_rule(self) -> Rule:
        """Make the rule that is best over all folds at once, for new images."""
        parameter, exponents = self._choose(np.ones(len(self.weights), bool))
        return Rule(
            name=self.rule,
            parameter=PARAMETERS[self.rule][parameter],
            exponents={name: self.exponents[exponent] for name, exponent in zip(HEAD_NAMES, exponents, strict=True)},
            priors={name: np.mean([one[parameter][name] for one in self.priors], axis=0) for name in HEAD_NAMES},
            graphemes=merge_triples(self.graphemes),
        )


def random_parts(num_images: int, num_parts: int, seed: int) -> NDArray[np.int64]:
    """Draw the part of each image, (N,) int64; parts differ by one image at most."""
    return np.random.default_rng(seed).permutation(np.arange(num_images) % num_parts)
