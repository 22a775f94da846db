"""The split of train.csv into folds: made once, kept in a file of folds/, audited each time."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from okkhor.config import FoldsConfig
from okkhor.data.holdout import UNSEEN, check_groups_apart, check_held_out, hold_out_graphemes, split_by_group
from okkhor.data.tables import check_unique, read_csv, read_header
from okkhor.errors import InputError
from okkhor.files import holding, replacing
from okkhor.label_triples import number_triples
from okkhor.schema import HEADS

FOLDS = Path("folds")


@dataclass(frozen=True)
class Folds:
    """The split of the N images of train.csv. path: the file that keeps it.

    numbers: (N,) int64, the fold that validates with each image. unseen_in: (N,) int64, the fold whose training lacks
    all images of its grapheme, -1 for none. group: the column of train.csv of which no value is on both sides, or "".
    """

    numbers: NDArray[np.int64]
    unseen_in: NDArray[np.int64]
    path: Path
    group: str = ""

    def training_rows(self, fold: int) -> NDArray[np.int64]:
        return np.flatnonzero((self.numbers != fold) & (self.unseen_in != fold))

    def validation_rows(self, fold: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.numbers == fold)

    def unseen(self, fold: int) -> NDArray[np.bool_]:
        """(n,) bool: which of the n validation rows have a grapheme that the fold's training lacks."""
        return self.unseen_in[self.validation_rows(fold)] == fold

    @property
    def has_unseen(self) -> bool:
        return bool((self.unseen_in >= 0).any())


@dataclass(frozen=True)
class Audit:
    """What audit_folds measured.

    sizes: images of each fold. deviations: for each head, the largest difference between a class's share of a fold
    and its share of the whole, in percentage points. absent, single: for each head, the classes of which train.csv has
    no image, or one only, which the fold that holds it out can't learn. unseen_graphemes: the number that each fold's
    training lacks. unseen_shares: the share of each fold's validation images that are of them, 0 to 1.
    """

    sizes: list[int]
    deviations: dict[str, float]
    absent: dict[str, list[int]]
    single: dict[str, list[int]]
    unseen_graphemes: list[int]
    unseen_shares: list[float]


def load_folds(table: pd.DataFrame, root: Path, config: FoldsConfig) -> Folds:
    """Read the folds of a data folder, or make them. table: train.csv. Raises InputError where they do not fit.

    Each scheme and group has a file of its own: folds/sample.csv, folds/sample-unseen-writer.csv.
    """
    parts = (root.resolve().name, UNSEEN if config.scheme == UNSEEN else "", config.group)
    path = FOLDS / f"{'-'.join(filter(None, parts))}.csv"
    made = {"image_id": table["image_id"], "fold": make_folds(table, config)}
    if config.scheme == UNSEEN:
        made["unseen_in"] = hold_out_graphemes(table, made["fold"], config)
    path.parent.mkdir(parents=True, exist_ok=True)
    with holding(path.with_name(f".{path.name}.lock")):
        if not path.exists():
            with replacing(path) as temporary:
                pd.DataFrame(made).to_csv(temporary, index=False)
    folds = read_folds(path, table, config)
    same = np.array_equal(folds.numbers, made["fold"])
    if not same or not np.array_equal(folds.unseen_in, made.get("unseen_in", folds.unseen_in)):
        share = f" and folds.unseen_share={config.unseen_share:g}" if config.scheme == UNSEEN else ""
        settings = f"folds.seed={config.seed}{share}"
        print(f"Note: {path} is kept as it is; made anew with {settings} it would be another split.")
    return folds


def make_folds(table: pd.DataFrame, config: FoldsConfig) -> NDArray[np.int64]:
    """(N,) int64. One grapheme has one label triple, so a split stratified on graphemes is so on all three heads.

    Where a grapheme has fewer images than there are folds, the three labels are stratified together instead, one-hot:
    given integers, iterative-stratification takes every label but 0 for the same.
    """
    if len(table) < config.num_folds:
        raise InputError(f"train.csv has {len(table)} images, too few for folds.num_folds={config.num_folds}.")
    if config.group:
        return split_by_group(table, config)
    numbers = np.zeros(len(table), np.int64)
    settings = {"n_splits": config.num_folds, "shuffle": True, "random_state": config.seed}
    if table["grapheme"].value_counts().min() >= config.num_folds:
        parts = StratifiedKFold(**settings).split(numbers, table["grapheme"])
    else:
        one_hot = np.hstack([np.eye(head.num_classes, dtype=np.int64)[table[head.name]] for head in HEADS])
        parts = MultilabelStratifiedKFold(**settings).split(numbers, one_hot)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, validation) in enumerate(parts):
            numbers[validation] = fold
    return numbers


def read_folds(path: Path, table: pd.DataFrame, config: FoldsConfig) -> Folds:
    """The kept folds, in the order of train.csv. Raises InputError where they are of other rows or another scheme."""
    remedy = f"Delete {path} to have it made anew (folds of finished runs then no longer compare)."
    split = read_split(path, config, remedy)
    in_file, in_train = set(split["image_id"]), set(table["image_id"])  # numpy compares objects in quadratic time
    unknown, lacking = in_file - in_train, in_train - in_file
    if unknown or lacking:
        first = min(unknown or lacking)
        raise InputError(
            f"{path} does not fit train.csv: {len(lacking)} images have no fold, {len(unknown)} images are not in "
            f"train.csv (the first: {first}). {remedy}"
        )
    found = sorted(split["fold"].unique().tolist())
    if found != list(range(config.num_folds)):
        raise InputError(f"{path} has the folds {found}, but folds.num_folds={config.num_folds}. Set it, or: {remedy}")
    ordered = split.set_index("image_id").loc[table["image_id"]]
    numbers, unseen_in = ordered["fold"].to_numpy(np.int64), np.full(len(table), -1, np.int64)
    if config.scheme == UNSEEN:
        unseen_in = ordered["unseen_in"].to_numpy(np.int64)
        check_held_out(table, numbers, unseen_in, path, remedy)
    return Folds(numbers, unseen_in, path, config.group)


def read_split(path: Path, config: FoldsConfig, remedy: str) -> pd.DataFrame:
    """The file: image_id (each once), fold (int64) and, of scheme=unseen alone, unseen_in (int64, -1 or a fold)."""
    held_out = ("unseen_in",) if config.scheme == UNSEEN else ()
    if ("unseen_in" in read_header(path)) != bool(held_out):
        raise InputError(
            f"{path}: {'no' if held_out else 'a'} column unseen_in, but folds.scheme={config.scheme} has "
            f"{'one' if held_out else 'none'}: the file is of another scheme. {remedy}"
        )
    split = read_csv(path, ("image_id", "fold", *held_out), integers=("fold",))
    check_unique(split, "image_id", path)
    for name in held_out:
        wrong = np.flatnonzero(~split[name].isin([str(fold) for fold in range(-1, config.num_folds)]))
        if len(wrong):
            raise InputError(
                f"{path}, line {wrong[0] + 2}: {name} is '{split[name].iloc[wrong[0]]}', expected a whole number from "
                f"-1 to {config.num_folds - 1}. {remedy}"
            )
        split[name] = split[name].astype(np.int64)
    return split


def audit_folds(table: pd.DataFrame, folds: Folds) -> Audit:
    """Raises InputError where a fold's training lacks a class of train.csv, or a group is on both sides of a fold."""
    num_folds = int(folds.numbers.max()) + 1
    sizes = np.bincount(folds.numbers, minlength=num_folds)
    check_classes(table, folds)
    if folds.group:
        check_groups_apart(table[folds.group], folds.numbers, folds.path)
    deviations, absent, single = {}, {}, {}
    for head in HEADS:
        counts = np.zeros((num_folds, head.num_classes), np.int64)
        np.add.at(counts, (folds.numbers, table[head.name].to_numpy()), 1)
        totals = counts.sum(axis=0)
        shares = counts / sizes[:, None] - totals / len(table)
        deviations[head.name] = float(np.abs(shares).max() * 100)
        absent[head.name] = np.flatnonzero(totals == 0).tolist()
        single[head.name] = np.flatnonzero(totals == 1).tolist()
    ids, _ = number_triples(table)
    unseen_graphemes = []
    for fold in range(num_folds):
        held_out = np.unique(ids[folds.unseen_in == fold])
        assert not np.isin(ids[folds.training_rows(fold)], held_out).any(), "a grapheme is held out whole"
        unseen_graphemes.append(len(held_out))
    unseen_shares = [float(folds.unseen(fold).mean()) for fold in range(num_folds)]
    return Audit(sizes.tolist(), deviations, absent, single, unseen_graphemes, unseen_shares)


def check_classes(table: pd.DataFrame, folds: Folds) -> None:
    """Raises InputError where training on a fold can't learn a class. One with a single image is not refused."""
    for head in HEADS:
        labels = table[head.name].to_numpy()
        totals = np.bincount(labels, minlength=head.num_classes)
        for fold in range(int(folds.numbers.max()) + 1):
            counts = np.bincount(labels[folds.training_rows(fold)], minlength=head.num_classes)
            lost = np.flatnonzero((counts == 0) & (totals > 1))
            if len(lost):
                where = f"in fold {fold}" + (" or held out with it" if folds.has_unseen else "")
                remedy = "another folds.seed" + (" or no folds.group" if folds.group else "")
                raise InputError(
                    f"{folds.path}: all {totals[lost[0]]} images of {head.name} {lost[0]} are {where}: training "
                    f"without it can't learn them. Delete the file to have it made anew, with {remedy} if need be."
                )
