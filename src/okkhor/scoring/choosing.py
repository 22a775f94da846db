"""Which exponents a decision rule needs: chosen out of fold, and judged on images that had no part in the choice."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from okkhor.label_triples import Labels, TrainedGraphemes, merge_graphemes
from okkhor.predictions import Predictions, Probabilities, blocks, concatenate, take
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.decoding import PARAMETERS, PriorName, Priors, Rule, RuleName, decide, make_sources, measure_priors
from okkhor.scoring.metric import macro_recall, subsets_of

EXPONENTS = tuple(round(0.1 * step, 1) for step in range(-5, 16))  # below 0: a loss that adjusted too far


@dataclass(frozen=True)
class OutOfFold:
    """What the network of one fold says of the images that it was not trained on; labels are known."""

    predictions: Predictions
    graphemes: TrainedGraphemes


def split_folds(whole: Predictions, lengths: Sequence[int], graphemes: Sequence[TrainedGraphemes]) -> list[OutOfFold]:
    """Each fold's rows of a table of all folds, one after the other; they stand once in memory."""
    ends = np.cumsum(lengths).tolist()
    parts = [take(whole, slice(end - length, end)) for end, length in zip(ends, lengths, strict=True)]
    return [OutOfFold(part, known) for part, known in zip(parts, graphemes, strict=True)]


def join_truth(folds: Sequence[OutOfFold]) -> Predictions:
    """What is known of the images of all folds, without probabilities, whose copy would be as large as they are."""
    return concatenate([replace(fold.predictions, probabilities={}, marginals=None) for fold in folds])


def sources_in_blocks(rule: RuleName, fold: OutOfFold) -> Iterator[tuple[slice, int, Probabilities]]:
    """Some rows, the place of a parameter in PARAMETERS, and the probabilities of those rows that it decides by."""
    for rows in blocks(len(fold.predictions)):
        sources = make_sources(rule, PARAMETERS[rule], take(fold.predictions, rows), fold.graphemes)
        for parameter, source in enumerate(sources):
            yield rows, parameter, source


def mean_sources(rule: RuleName, fold: OutOfFold) -> list[dict[str, NDArray[np.float64]]]:
    """For each parameter and head, (1, num_classes): the mean over the images of what a rule decides by."""
    totals = [{head.name: np.zeros((1, head.num_classes)) for head in HEADS} for _ in PARAMETERS[rule]]
    for _, parameter, source in sources_in_blocks(rule, fold):
        for name, total in totals[parameter].items():
            total += source[name].sum(axis=0, dtype=np.float64)
    return [{name: total / len(fold.predictions) for name, total in one.items()} for one in totals]


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
        whole = join_truth(folds)
        assert whole.labels is not None, "out-of-fold predictions have labels"
        self.rule, self.graphemes, self.labels = rule, [fold.graphemes for fold in folds], whole.labels
        self.exponents = (0.0,) if rule == "argmax" else EXPONENTS
        shape = len(PARAMETERS[rule]), len(self.exponents), len(whole)
        self.decided = {name: np.empty(shape, np.uint8) for name in HEAD_NAMES}
        self.priors: list[list[Priors]] = []  # for each fold and parameter
        start = 0
        for fold in folds:
            means = mean_sources(rule, fold) if prior == "posterior" else [{}] * len(PARAMETERS[rule])
            self.priors.append([measure_priors(mean, fold.graphemes, prior) for mean in means])
            for rows, parameter, source in sources_in_blocks(rule, fold):
                for name in HEAD_NAMES:
                    labels = decide(source[name], self.priors[-1][parameter][name], self.exponents)
                    self.decided[name][parameter, :, start + rows.start : start + rows.stop] = labels
            start += len(fold.predictions)
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

    def take(self, choice: Choice, rows: NDArray[np.bool_]) -> Labels:
        """Return the labels that the choice decides for these n rows."""
        decided = {name: self.decided[name][choice.parameter, choice.exponents[name]][rows] for name in HEAD_NAMES}
        return Labels.from_columns(decided)

    def decide_out_of_fold(self, parts: NDArray[np.int64]) -> Labels:
        """Decide each part of the images as is best on the others. parts: (N,) int64."""
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
            graphemes=merge_graphemes(self.graphemes),
        )


Chosen = TypeVar("Chosen")
Rows = NDArray[np.bool_]


def decide_nested(
    parts: NDArray[np.int64], fit: Callable[[Rows], Chosen], decide: Callable[[Chosen, Rows], Labels]
) -> Labels:
    """What is decided for each part of the images by a choice made without that part.

    parts: (N,) int64, the part of each image. fit: rows (N,) bool -> a choice. decide: a choice and n rows -> n
    labels.
    """
    decided = Labels(np.empty((len(parts), len(HEADS)), np.int64))
    assert len(np.unique(parts)) > 1, "a single part leaves nothing to choose on"
    for part in np.unique(parts):
        rows = parts == part
        decided.array[rows] = decide(fit(~rows), rows).array
    return decided


def random_parts(num_images: int, num_parts: int, seed: int) -> NDArray[np.int64]:
    """(N,) int64: parts that differ by one image at most."""
    return np.random.default_rng(seed).permutation(np.arange(num_images) % num_parts)
