"""From probabilities to labels: `decode` takes the most probable class, `apply_rule` decides by a `Rule`.

The most probable class is the best guess for accuracy. The score is macro recall, in which a class of 100 images counts
as much as one of 100,000; the best guess for it is the class with the highest p(class | image) / p(class) (logit
adjustment, Menon et al. 2021, arXiv:2007.07314). The exponent on the prior p(class) allows for networks that are not
calibrated, and for training that has adjusted already.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from okkhor.errors import InputError
from okkhor.label_triples import Labels, TripleCounts
from okkhor.predictions import Predictions, Probabilities, blocks, take
from okkhor.schema import HEAD_NAMES, HEADS

RuleName = Literal["argmax", "prior", "grapheme", "joint"]
PriorName = Literal["counts", "posterior"]
Priors = Mapping[str, NDArray[np.float64]]
"""For each head, (num_classes,) float64, above 0, of sum 1."""

SMALLEST = float(np.finfo(np.float32).tiny)

PARAMETERS: dict[str, tuple[float, ...]] = {
    "argmax": (1.0,),
    "prior": (1.0,),
    "grapheme": (0.5, 1.0),  # weight of the grapheme head in the mean of it and the three heads
    "joint": (0.5, 0.3, 0.1, 0.03, 0.01),  # weight of a label triple that training lacked; one that it had weighs 1
}
"""For each rule, the values that its parameter can take."""


@dataclass(frozen=True)
class Rule:
    """A way to decide. parameter: one of PARAMETERS. exponents: for each head, the t of p / prior^t."""

    name: RuleName
    parameter: float
    exponents: Mapping[str, float]
    priors: Priors
    graphemes: TripleCounts


def decode(probabilities: Mapping[str, NDArray[np.floating]]) -> Labels:
    """Take the most probable class of each head: (N, num_classes) for each -> N labels."""
    return Labels.from_columns({name: values.argmax(axis=1) for name, values in probabilities.items()})


def apply_rule(rule: Rule | None, predictions: Predictions) -> Labels:
    """Decide by a rule; None: take the most probable class. Raises InputError where a grapheme head is missing."""
    if rule is None:
        return decode(predictions.probabilities)
    decided = Labels(np.empty((len(predictions), len(HEADS)), np.int64))
    for rows in blocks(len(predictions)):
        (values,) = rule_inputs(rule.name, (rule.parameter,), take(predictions, rows), rule.graphemes)
        for name in HEAD_NAMES:
            decided[name][rows] = decide(values[name], rule.priors[name], (rule.exponents[name],))[0]
    return decided


def decide(
    probabilities: NDArray[np.float32], prior: NDArray[np.float64], exponents: tuple[float, ...]
) -> NDArray[np.uint8]:
    """(N, num_classes) -> (T, N) uint8: argmax of p / prior^t for each of the T exponents t."""
    logs = np.log(np.maximum(probabilities, SMALLEST))
    penalty = np.log(prior).astype(np.float32)
    return np.stack([(logs - np.float32(t) * penalty).argmax(axis=1).astype(np.uint8) for t in exponents])


def measure_priors(graphemes: TripleCounts, means: Mapping[str, NDArray[np.float64]] | None = None) -> Priors:
    """Return the prior of each class: its mean probability, or without means its share of the training images.

    means: for each head, (num_classes,): what the network itself takes for the prior (Prior2Posterior,
    arXiv:2412.16540). It is nearly even after training with a loss that is adjusted to the prior, or with classes drawn
    evenly; dividing by it then changes little, and nothing is adjusted twice.
    """
    priors = {}
    for name, counts in graphemes.class_counts().items():
        shares = counts / counts.sum() if means is None else means[name]
        floor = 0.5 / counts.sum()  # half an image: a class that training lacked is not infinitely rare
        priors[name] = np.maximum(shares, floor) / np.maximum(shares, floor).sum()
    return priors


def rule_inputs(
    rule: RuleName, parameters: tuple[float, ...], predictions: Predictions, graphemes: TripleCounts
) -> Iterator[Probabilities]:
    """Yield the probabilities that the rule decides by, for one value of its parameter after the other.

    The rule joint computes the probabilities of all graphemes for all images: pass a large table in blocks.
    """
    heads = predictions.probabilities
    if rule == "grapheme":
        if predictions.marginals is None:
            raise InputError(
                "decode.rule=grapheme needs networks with a grapheme head (model.graphemes). Train all networks with "
                "model.graphemes=linear; ensemble.weights=stacking leaves that head out."
            )
        marginals = predictions.marginals
        yield from (_mix(heads, marginals, share) for share in parameters)
    elif rule == "joint":
        sums = sum_over_graphemes(heads, graphemes)
        yield from (_normalise(_mix(heads, sums, 1 - weight)) for weight in parameters)
    else:
        yield from (heads for _ in parameters)


def _mix(one: Probabilities, other: Probabilities, share: float) -> Probabilities:
    return {name: (1 - share) * one[name] + share * other[name] for name in HEAD_NAMES}


def _normalise(table: Probabilities) -> Probabilities:
    return {name: values / np.maximum(values.sum(axis=1, keepdims=True), SMALLEST) for name, values in table.items()}


def sum_over_graphemes(probabilities: Probabilities, graphemes: TripleCounts) -> Probabilities:
    """For each head and class, sum the product of the three heads' probabilities over the graphemes with that class.

    The sum is the class's own probability less that of the combinations that do not occur, were the heads independent.
    """
    products = np.ones((len(probabilities[HEADS[0].name]), len(graphemes.triples)), np.float32)
    for column, head in enumerate(HEADS):
        products *= np.take(probabilities[head.name], graphemes.triples[:, column], axis=1)  # 3 times as fast as [:, i]
    return {
        head.name: products @ np.eye(head.num_classes, dtype=np.float32)[graphemes.triples[:, column]]
        for column, head in enumerate(HEADS)
    }
