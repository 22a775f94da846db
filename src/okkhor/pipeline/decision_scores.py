"""`print_decisions`, `print_chance`: what decision rules would bring, and how far chance moves a score.

`split_images`, `read_groups`: the parts and the groups of images that these are judged by.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.config import Config, DecodeConfig
from okkhor.data.tables import read_test_table, read_train_table
from okkhor.pipeline.decision import describe_rule
from okkhor.predictions import Predictions
from okkhor.scoring.choosing import Candidates, OutOfFold, join_truth, random_parts
from okkhor.scoring.decoding import RuleName, decode
from okkhor.scoring.metric import bootstrap_heads, interval, score_subsets, subsets_of

NUM_PARTS = 5  # into which the images of a single fold are divided, to choose on the others
RULES: tuple[RuleName, ...] = ("argmax", "prior", "grapheme", "joint")


def print_chance(config: Config, whole: Predictions) -> None:
    """Print how far chance alone moves the score of a test set as large as the data folder's."""
    root, group = Path(config.data.root), config.folds.group
    if not (root / "test.csv").exists() or (group and not (root / "train.csv").exists()):
        return
    assert whole.labels is not None
    name, weights = list(subsets_of(whole.unseen, len(whole)).items())[-1]  # mix, or all
    size = read_test_table(root)["image_id"].nunique()
    groups = read_groups(config, whole)
    decided = [decode(whole.probabilities)]
    draws = bootstrap_heads(whole.labels, decided, weights, num_images=size, groups=groups)
    low, high = interval(draws["score"][0])
    drawn = f"of {group}s and images." if group else "of images; what writers vary comes on top (folds.group)."
    print(f"  A test set of {size:,} images like these ({name}) scores {low:.4f} to {high:.4f},", end=" ")
    print(f"in 95 of 100 draws {drawn}")


def read_groups(config: Config, predictions: Predictions) -> NDArray[np.int64] | None:
    """Return (N,) int64 from 0: the group of each image, such as its writer; None without folds.group."""
    if not config.folds.group:
        return None
    root = Path(config.data.root)
    table = read_train_table(root).set_index("image_id")
    return pd.factorize(table.loc[predictions.image_ids, config.folds.group])[0].astype(np.int64)


def print_decisions(folds: Sequence[OutOfFold], config: DecodeConfig) -> None:
    """Print the score of each decision rule in each subset, and its gain over argmax with a bootstrap interval.

    A rule's exponents are chosen on other images than those it is judged on: on the other folds, or, where there is
    one fold, on the other four fifths of it. The intervals are of images drawn anew, not of graphemes and writers.
    """
    whole, parts = join_truth(folds), split_images(folds)
    assert whole.labels is not None
    subsets = subsets_of(whole.unseen, len(whole))
    has_marginals = all(fold.predictions.marginals is not None for fold in folds)
    rules = [rule for rule in RULES if rule != "grapheme" or has_marginals]
    candidates = [Candidates(rule, folds, config.prior) for rule in rules]
    decided = [one.decide_out_of_fold(parts) for one in candidates]
    judged = "mix" if "mix" in subsets else "all"
    draws = bootstrap_heads(whole.labels, decided, subsets[judged])["score"]
    print(f"\nDecoding, chosen on other images than it is judged on; 95 % of draws of images for {judged}:")
    heading = "".join(f"{name:>9}" for name in subsets)
    print(f"  {'':10}{heading}{'interval':>19}{'gain over argmax':>19}  chosen")
    for number, rule in enumerate(rules):
        scores = score_subsets(whole.labels, decided[number], whole.unseen)
        columns = "".join(f"{scores[name]['score']:9.4f}" for name in subsets)
        gain = ""
        if number:
            gain = f"{_range(draws[number] - draws[0], '+'):>19}  {describe_rule(candidates[number].make_rule())}"
        print(f"  {rule:10}{columns}{_range(draws[number]):>19}{gain}")
    if judged == "all":
        print("  No grapheme is held out here: what joint costs unseen ones shows with folds.scheme=unseen alone.")


def split_images(folds: Sequence[OutOfFold]) -> NDArray[np.int64]:
    """Return (N,) int64: the part of each image, which is its fold, or a random fifth where there is one fold."""
    if len(folds) == 1:
        return random_parts(len(folds[0].predictions), NUM_PARTS, seed=0)
    return np.repeat(np.arange(len(folds)), [len(fold.predictions) for fold in folds])


def _range(drawn: NDArray[np.float64], sign: str = "") -> str:
    low, high = interval(drawn)
    return f"{low:{sign}.4f} {high:{sign}.4f}"
