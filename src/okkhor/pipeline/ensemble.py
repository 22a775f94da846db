"""`Ensemble`: several runs as one, its out-of-fold score, its decision and its submission."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from okkhor.config import Config, EnsembleConfig
from okkhor.errors import InputError
from okkhor.pipeline.decision import Decision, choose_rule, describe_sources, find_decision
from okkhor.pipeline.run import RUNS, Run
from okkhor.pipeline.score_details import print_decisions, split_images
from okkhor.pipeline.scores import print_scores, score_table
from okkhor.predictions import Predictions, concatenate, take
from okkhor.scoring.choosing import OutOfFold, join_truth, split_folds
from okkhor.scoring.ensembling import align, align_members, disagreement
from okkhor.scoring.member_weights import Combination, fit_stacking, select_greedily

Tables = list[Predictions]
"""A table for each member, with the same images in the same order."""


@dataclass(frozen=True)
class Ensemble:
    """Runs, or variants of runs, whose predictions become one; runs/<name>/ keeps its settings and its decision."""

    config: Config
    members: tuple[Run, ...]

    @classmethod
    def open(cls, config: Config) -> "Ensemble":
        """Find the members that `runs` names, with the folds that `fold` names. Raises as Run.open."""
        return cls(config, tuple(Run.open(name, config.fold) for name in config.runs))

    @staticmethod
    def settings_file(name: str) -> Path:
        return RUNS / name / "ensemble.yaml"

    def decision(self, anew: bool = False) -> Decision:
        """Read decision.json; decide anew if wanted, or where members, folds or settings have changed since."""
        tables = [member.out_of_fold(fold) for member in self.members for fold in member.folds]
        sources = describe_sources(self.config.decode, tables, ensemble=asdict(self.config.ensemble))
        return find_decision(RUNS / self.config.name / "decision.json", sources, self._decide, anew)

    def _decide(self) -> Decision:
        """Choose how the members become one, and the decision rule, out of fold; print what each brings."""
        combination, folds = score_ensemble(self.members, self.config)
        print_decisions(folds, self.config.decode)  # the members' tables are out of memory by now
        return Decision(combination, choose_rule(folds, self.config.decode))


def score_ensemble(members: Sequence[Run], config: Config) -> tuple[Combination, list[OutOfFold]]:
    """Print the out-of-fold scores; return the combination that is best on all images, and the ensemble's folds.

    Weights are chosen on other images than those they are judged on, and so are the exponents of decoding; but these
    exponents are chosen on an ensemble whose weights knew the images: a little of the gain may come from that.
    """
    names = config.runs
    read = [member.read_out_of_fold() for member in members]
    tables, folds = align_folds(read, names), read[0][1]
    del read  # with members in another order than the first's
    whole = combine_out_of_fold(tables, split_images(folds), names, config.ensemble)
    combination, weights = fit_combination(tables, names, config.ensemble)
    print(f"Out of fold, {len(whole):,} images; the ensemble is the {config.ensemble.mean} mean, {weights}:")
    scored = zip((*names, "ensemble"), (*tables, whole), strict=True)
    print_scores({name: score_table(table)["all"] for name, table in scored})
    if len(tables) > 1:
        print("\nShare of images that two members read differently:")
        shares = disagreement(tables, names).to_string(index=False, float_format="{:.4f}".format)
        print("  " + shares.replace("\n", "\n  "))
    lengths, graphemes = [len(fold.predictions) for fold in folds], [fold.graphemes for fold in folds]
    return combination, split_folds(whole, lengths, graphemes)


def align_folds(members: Sequence[tuple[Predictions, list[OutOfFold]]], names: Sequence[str]) -> Tables:
    """Return the members' tables of all folds, with the images in the order of the first member's.

    Raises InputError where a fold's images differ, or the graphemes that it holds out: one member has then trained on
    what another is validated with.
    """
    tables = align_members([whole for whole, _ in members], names)
    for (_, folds), name in zip(members, names, strict=True):
        for number, (fold, other) in enumerate(zip(folds, members[0][1], strict=True)):
            one, two = join_truth([fold]), join_truth([other])  # to compare their images, not to copy probabilities
            unseen = [set() if t.unseen is None else set(t.image_ids[t.unseen].tolist()) for t in (one, two)]
            if unseen[0] != unseen[1]:
                raise InputError(
                    f"{name} and {names[0]} hold out other graphemes: one member has trained on images that the other "
                    "is validated with. Members need the same folds.scheme."
                )
            align(one, two, f"{name} fold {number}", f"{names[0]} fold {number}")
    return tables


def combine_out_of_fold(
    tables: Tables, parts: NDArray[np.int64], names: Sequence[str], config: EnsembleConfig
) -> Predictions:
    """Combine the members' tables, each part of the images by what is best for the other parts. parts: (N,) int64."""
    if config.weights == "equal":  # which is best for all
        return Combination(config.mean).apply(tables, names)
    pieces = []
    for part in np.unique(parts):
        fitted, _ = fit_combination([take(table, parts != part) for table in tables], names, config)
        pieces.append(fitted.apply([take(table, parts == part) for table in tables], names))
    return align(concatenate(pieces), tables[0], "ensemble", names[0])


def fit_combination(tables: Tables, names: Sequence[str], config: EnsembleConfig) -> tuple[Combination, str]:
    """Find the combination that is best for these tables, whose labels are known; return it, and its text."""
    if config.weights == "stacking":
        stacking = fit_stacking(tables, names)
        heads = [f"{name} {_join(values)}" for name, values in stacking.weights.items()]
        return Combination(stacking=stacking), f"stacked with {', '.join(heads)}"
    if config.weights == "equal":
        return Combination(config.mean), "all members alike"
    weights = select_greedily(tables, names, config.mean)
    return Combination(config.mean, weights), f"weights {_join(weights)}"


def _join(weights: Iterable[float]) -> str:
    return "/".join(f"{weight:.2f}" for weight in weights)
