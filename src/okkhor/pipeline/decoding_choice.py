"""What each rule of decoding brings, out of fold, and the one that a submission is decoded by."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from okkhor.config import DecodeConfig
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.choosing import Candidates, OutOfFold, join_truth, random_parts
from okkhor.scoring.decoding import Rule, RuleName
from okkhor.scoring.metric import bootstrap_heads, interval, score_subsets, subsets_of

NUM_PARTS = 5  # of the images of a single fold
RULES: tuple[RuleName, ...] = ("argmax", "prior", "grapheme", "joint")


def print_decisions(folds: Sequence[OutOfFold], config: DecodeConfig) -> None:
    """Print the score of each rule in each subset, and its gain over argmax.

    A rule's exponents are chosen on other images than those that it is judged on: on the other folds, or, where there
    is one fold, on the other four fifths of it. Intervals are of images drawn anew; what graphemes and writers vary,
    of which each has many images, comes on top.
    """
    whole, parts = join_truth(folds), split(folds)
    assert whole.labels is not None
    subsets = subsets_of(whole.unseen, len(whole))
    has_marginals = all(fold.predictions.marginals is not None for fold in folds)
    rules = [rule for rule in RULES if rule != "grapheme" or has_marginals]
    candidates = [Candidates(rule, folds, config.prior) for rule in rules]
    decided = [one.decide_out_of_fold(parts) for one in candidates]
    judged = "mix" if "mix" in subsets else "all"
    draws = bootstrap_heads(whole.labels, decided, subsets[judged])["score"]
    print(f"\nDecoding, chosen on other images than it is judged on; 95 % of draws of images for {judged}:")
    print(
        f"  {'':10}" + "".join(f"{name:>9}" for name in subsets) + f"{'interval':>19}{'gain over argmax':>19}  chosen"
    )
    for number, rule in enumerate(rules):
        scores = score_subsets(whole.labels, decided[number], whole.unseen)
        columns = "".join(f"{scores[name]['score']:9.4f}" for name in subsets)
        gain = (
            f"{_range(draws[number] - draws[0], '+'):>19}  {describe(candidates[number].make_rule())}" if number else ""
        )
        print(f"  {rule:10}{columns}{_range(draws[number]):>19}{gain}")
    if judged == "all":
        print("  No grapheme is held out here: what joint costs unseen ones shows with folds.scheme=unseen alone.")


def split(folds: Sequence[OutOfFold]) -> NDArray[np.int64]:
    """(N,) int64: the part of each image, which is its fold, or a random fifth where there is one fold."""
    if len(folds) == 1:
        return random_parts(len(folds[0].predictions), NUM_PARTS, seed=0)
    return np.repeat(np.arange(len(folds)), [len(fold.predictions) for fold in folds])


def choose_rule(folds: Sequence[OutOfFold], config: DecodeConfig) -> Rule | None:
    """What decides for new images: decode.rule as it is chosen on all out-of-fold predictions of the same networks.

    None for argmax, which needs none of them.

    Out of fold one network speaks of an image, of a test image the mean of all folds, which is surer: an exponent that
    is a little too high for it, as a small price for an honest choice.
    """
    if config.rule == "argmax":
        return None
    rule = Candidates(config.rule, folds, config.prior).make_rule()
    print(f"Decoding by the rule {rule.name}: {describe(rule)}.")
    return rule


def describe(rule: Rule) -> str:
    exponents = "/".join(f"{rule.exponents[name]:g}" for name in HEAD_NAMES)
    names = {"grapheme": "share of the grapheme head", "joint": "unseen combinations weigh"}
    return f"t {exponents}" + (f", {names[rule.name]} {rule.parameter:g}" if rule.name in names else "")


def _range(drawn: NDArray[np.float64], sign: str = "") -> str:
    low, high = interval(drawn)
    return f"{low:{sign}.4f} {high:{sign}.4f}"
