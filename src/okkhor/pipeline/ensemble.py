"""okkhor.pipeline.ensemble."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from okkhor.config import Config, EnsembleConfig
from okkhor.errors import InputError
from okkhor.pipeline.decoding_choice import choose_rule, print_decisions, split
from okkhor.pipeline.run import (
    Member,
    read_out_of_fold,
)
from okkhor.pipeline.scores import print_scores, score_table
from okkhor.predictions import Predictions, concatenate, take
from okkhor.scoring.choosing import OutOfFold, join_truth, split_folds
from okkhor.scoring.decoding import Rule
from okkhor.scoring.ensembling import align, disagreement
from okkhor.scoring.member_weights import Combination, fit_stacking, select_greedily

Tables = list[Predictions]
"""A table for each member, with the same images in the same order."""


def choose_combination(members: Sequence[Member], config: Config) -> tuple[Combination, Rule | None]:
    """How the members become one, and how that one decides, by what is best out of fold; prints what it brings."""
    combination, ensemble = score_ensemble(members, config)
    print_decisions(ensemble, config.decode)  # the members' tables are out of memory by now
    return combination, choose_rule(ensemble, config.decode)


def align_folds(members: Sequence[tuple[Predictions, list[OutOfFold]]], names: Sequence[str]) -> Tables:
    """The members' tables of all folds, with the images in the order of the first member's.

    Raises InputError where a fold's images differ, or the graphemes that it holds out: then one member has trained on
    what another is validated with.
    """
    first, first_folds = members[0]
    tables = [align(whole, first, name, names[0]) for (whole, _), name in zip(members, names, strict=True)]
    for (_, folds), name in zip(members, names, strict=True):
        for fold, other in zip(folds, first_folds, strict=True):
            check_unseen(fold.predictions, other.predictions, name, names[0])
    for (_, folds), name in zip(members, names, strict=True):
        for number, (fold, other) in enumerate(zip(folds, first_folds, strict=True)):
            one, two = join_truth([fold]), join_truth([other])  # to compare their images, not to copy probabilities
            align(one, two, f"{name} fold {number}", f"{names[0]} fold {number}")
    return tables


def check_unseen(one: Predictions, other: Predictions, name: str, other_name: str) -> None:
    """Raises InputError where one member was trained on graphemes that the other has held out."""
    unseen = [set() if p.unseen is None else set(p.image_ids[p.unseen].tolist()) for p in (one, other)]
    if unseen[0] != unseen[1]:
        raise InputError(
            f"{name} and {other_name} hold out other graphemes: a member has trained on what the other is judged by. "
            "Members need the same folds.scheme."
        )


def score_ensemble(members: Sequence[Member], config: Config) -> tuple[Combination, list[OutOfFold]]:
    """Print the out-of-fold scores of members and ensemble; returns the combination, and what it says out of fold.

    Weights are chosen on other images than those that they are judged on, and so are exponents of decoding; but these
    are chosen on an ensemble whose weights knew the images that they are judged on: a little of the gain may be that.
    """
    names = config.runs
    read = [read_out_of_fold(member) for member in members]
    tables, folds = align_folds(read, names), read[0][1]
    del read  # with members in another order than the first's
    whole = combine_out_of_fold(tables, split(folds), names, config.ensemble)
    combination, weights = fit_combination(tables, names, config.ensemble)
    print(f"Out of fold, {len(whole):,} images; the ensemble is the {config.ensemble.mean} mean, {weights}:")
    print_scores(
        {name: score_table(table)["all"] for name, table in zip((*names, "ensemble"), (*tables, whole), strict=True)}
    )
    if len(tables) > 1:
        print("\nShare of images that two members read differently:")
        shares = disagreement(tables, names).to_string(index=False, float_format="{:.4f}".format)
        print("  " + shares.replace("\n", "\n  "))
    lengths, graphemes = [len(fold.predictions) for fold in folds], [fold.graphemes for fold in folds]
    return combination, split_folds(whole, lengths, graphemes)


def combine_out_of_fold(
    tables: Tables, parts: NDArray[np.int64], names: Sequence[str], config: EnsembleConfig
) -> Predictions:
    """The members' tables as one, each part of the images by what is best for the others. parts: (N,) int64."""
    if config.weights == "equal":  # which is best for all
        return Combination(config.mean).apply(tables, names)
    pieces = []
    for part in np.unique(parts):
        fitted, _ = fit_combination([take(table, parts != part) for table in tables], names, config)
        pieces.append(fitted.apply([take(table, parts == part) for table in tables], names))
    return align(concatenate(pieces), tables[0], "ensemble", names[0])


def fit_combination(tables: Tables, names: Sequence[str], config: EnsembleConfig) -> tuple[Combination, str]:
    """What makes one table of the members', by what is best for these, whose labels are known; and that in words."""
    if config.weights == "stacking":
        stacking = fit_stacking(tables, names)
        return Combination(stacking=stacking), f"stacked with {describe_weights(stacking.weights)}"
    if config.weights == "equal":
        return Combination(config.mean), "all members alike"
    weights = select_greedily(tables, names, config.mean)
    return Combination(config.mean, tuple(weights)), f"weights {_join(weights)}"


def describe_weights(weights: Mapping[str, NDArray[np.float64]]) -> str:
    return ", ".join(f"{name} {_join(values.tolist())}" for name, values in weights.items())


def _join(weights: Sequence[float]) -> str:
    return "/".join(f"{weight:.2f}" for weight in weights)
