"""From probabilities to labels.

The most probable class is the best guess for accuracy. The score is macro recall, in which a class of 100 images counts
as much as one of 100,000; for it the best guess is the class with the highest p(class | image) / p(class): the more a
class is frequent, the less its probability says (logit adjustment, Menon et al. 2021, arXiv:2007.07314). The exponent
on the prior allows for networks that are not calibrated, and for training that has adjusted already.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from okkhor.errors import InputError
from okkhor.label_triples import Labels, TrainedGraphemes
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
    "grapheme": (0.5, 1.0),
    "joint": (0.5, 0.3, 0.1, 0.03, 0.01),
}
"""By rule, the values to choose from. grapheme: the share of the grapheme head in the probabilities, the rest are the
three heads'. joint: the weight of a combination that training lacked, where one that it had weighs 1."""


@dataclass(frozen=True)
class Rule:
    """A way to decide. exponents: for each head, the power of the prior that probabilities are divided by."""

    name: RuleName
    parameter: float
    exponents: Mapping[str, float]
    priors: Priors
    graphemes: TrainedGraphemes


def decode(probabilities: Mapping[str, NDArray[np.floating]]) -> Labels:
    """Take the most probable class of each head: (N, num_classes) for each -> N labels."""
    return Labels.from_columns({name: values.argmax(axis=1) for name, values in probabilities.items()})


def apply_rule(rule: Rule | None, predictions: Predictions) -> Labels:
    """Decide by a rule; without one take the most probable class.

    Raises InputError where the rule needs a grapheme head and there is none.
    """
    if rule is None:
        return decode(predictions.probabilities)
    decided = Labels(np.empty((len(predictions), len(HEADS)), np.int64))
    for rows in blocks(len(predictions)):
        (source,) = make_sources(rule.name, (rule.parameter,), take(predictions, rows), rule.graphemes)
        for name in HEAD_NAMES:
            decided[name][rows] = decide(source[name], rule.priors[name], (rule.exponents[name],))[0]
    return decided


def decide(
    probabilities: NDArray[np.float32], prior: NDArray[np.float64], exponents: tuple[float, ...]
) -> NDArray[np.uint8]:
    """(N, num_classes) -> (T, N) uint8: argmax of p / prior^t for each of the T exponents t."""
    logs = np.log(np.maximum(probabilities, SMALLEST))
    penalty = np.log(prior).astype(np.float32)
    return np.stack([(logs - np.float32(t) * penalty).argmax(axis=1).astype(np.uint8) for t in exponents])


def measure_priors(source: Mapping[str, NDArray[np.floating]], graphemes: TrainedGraphemes, prior: PriorName) -> Priors:
    """counts: each class's share of the training images. posterior: its mean probability over the source's rows.

    The second is what the network itself takes for the prior: Prior2Posterior, arXiv:2412.16540. With a loss that is
    adjusted to the prior, or classes drawn evenly, it is nearly even, and dividing by it changes nothing twice.
    """
    priors = {}
    for name, counts in graphemes.class_counts().items():
        shares = counts / counts.sum() if prior == "counts" else source[name].mean(axis=0, dtype=np.float64)
        floor = 0.5 / counts.sum()  # half an image: a class that training lacked is not infinitely rare
        priors[name] = np.maximum(shares, floor) / np.maximum(shares, floor).sum()
    return priors


def make_sources(
    rule: RuleName, parameters: tuple[float, ...], predictions: Predictions, graphemes: TrainedGraphemes
) -> Iterator[Probabilities]:
    """For each value of the rule's parameter, the probabilities that it decides by; one table at a time.

    joint holds all graphemes' probabilities of all images: a table of many comes in blocks.
    """
    heads = predictions.probabilities
    if rule == "grapheme":
        if predictions.marginals is None:
            raise InputError(
                "decode.rule=grapheme: here speaks no grapheme head. "
                "Train all networks with model.graphemes=linear; stacking leaves it out."
            )
        others: Probabilities = predictions.marginals
        yield from (_mix(heads, others, share) for share in parameters)
    elif rule == "joint":
        others = sum_over_graphemes(heads, graphemes)
        yield from (_normalise(_mix(heads, others, 1 - weight)) for weight in parameters)
    else:
        yield from (heads for _ in parameters)


def sum_over_graphemes(probabilities: Probabilities, graphemes: TrainedGraphemes) -> Probabilities:
    """For each head and class, the sum over the graphemes with that class of the product of their three probabilities.

    If the three labels were independent and all combinations occurred this would be the class's own probability; what
    it lacks, combinations have that do not occur.
    """
    products = np.ones((len(probabilities[HEADS[0].name]), len(graphemes.labels)), np.float32)
    for column, head in enumerate(HEADS):
        products *= np.take(probabilities[head.name], graphemes.labels[:, column], axis=1)  # indexed, thrice the time
    return {
        head.name: products @ np.eye(head.num_classes, dtype=np.float32)[graphemes.labels[:, column]]
        for column, head in enumerate(HEADS)
    }


def _mix(one: Probabilities, other: Probabilities, share: float) -> Probabilities:
    return {name: (1 - share) * one[name] + share * other[name] for name in HEAD_NAMES}


def _normalise(values: Probabilities) -> Probabilities:
    return {name: part / np.maximum(part.sum(axis=1, keepdims=True), SMALLEST) for name, part in values.items()}
