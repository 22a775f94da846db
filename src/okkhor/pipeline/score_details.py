"""`print_decisions`, `print_chance`, `score_views`: what decision rules, chance and test-time augmentation bring."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from okkhor.config import Config, DecodeConfig
from okkhor.data.loading import BatchesInOrder, CachedImages, Loader
from okkhor.data.tables import read_test_table, read_train_table
from okkhor.errors import InputError
from okkhor.pipeline.decision import describe_rule
from okkhor.pipeline.inference import predict
from okkhor.pipeline.prediction import open_networks
from okkhor.pipeline.prepared import Prepared, prepare
from okkhor.pipeline.run import Run
from okkhor.pipeline.scores import print_scores, score_table
from okkhor.predictions import Predictions, read_predictions, write_predictions
from okkhor.processes import usable_workers
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


def score_views(config: Config, run: Run) -> None:
    """Print what test-time augmentation brings on each fold's validation images, where these are at hand."""
    config = replace(config, data=replace(config.data, root=run.config().data.root))
    missing = [fold for fold in run.folds if not run.out_of_fold(fold).exists()]
    if missing and not (Path(config.data.root) / "train.csv").exists():
        print(f"Not scored out of fold: {config.data.root}/train.csv is not there.")
        return
    prepared = prepare(config) if missing else None
    scores: dict[str, dict[str, float]] = {}
    for fold in run.folds:
        plain = read_predictions(Run(run.name).out_of_fold(fold))
        if prepared is not None and fold in missing:
            predict_out_of_fold(config, replace(run, folds=(fold,)), prepared, plain)
        viewed = read_predictions(run.out_of_fold(fold))
        scores |= {f"fold {fold}": score_table(plain)["all"], f"fold {fold}, {run.variant}": score_table(viewed)["all"]}
    print_scores(scores)


def predict_out_of_fold(config: Config, run: Run, prepared: Prepared, plain: Predictions) -> None:
    """Predict a fold's validation images over the run's views. plain: the fold's table without views."""
    (fold,) = run.folds
    rows = prepared.folds.validation_rows(fold)
    if prepared.train.image_ids(rows).tolist() != plain.image_ids.tolist():
        raise InputError(
            f"{prepared.folds.path} is not the split that {run.folder} was trained with: fold {fold} has other "
            "images. Bring that file back, or train again."
        )
    networks = open_networks(config, run)
    images = CachedImages([prepared.cache], rows, prepared.train.labels(rows))
    order, num_workers = BatchesInOrder(len(rows), networks.batch_size), usable_workers(config.data.num_workers)
    with closing(Loader(images, order, num_workers)) as loader:
        batches = tqdm(loader.epoch(), total=len(loader), desc=f"Fold {fold}", disable=None)
        modules = list(networks.by_name.values())
        (table,) = predict(modules, batches, plain.image_ids, networks.precision, run.num_views)
    table = replace(table, labels=plain.labels, unseen=plain.unseen)
    write_predictions(table, decode(table.probabilities), run.out_of_fold(fold))


def describe_folds(run: Run) -> str:
    """Say how many folds of how many a result comes from, and which are unfinished: "2 of 5 folds (0, 2); ..."."""
    number = run.config().folds.num_folds
    left = sorted(set(range(number)) - set(run.finished_folds()))
    states = [f"{fold} is begun" if run.is_begun(fold) else f"{fold} is not begun" for fold in left]
    unfinished = f"; unfinished: {', '.join(states)}" if states else ""
    return f"{len(run.folds)} of {number} folds ({', '.join(map(str, run.folds))}){unfinished}"
