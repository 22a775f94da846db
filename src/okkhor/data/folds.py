"""The split of train.csv into folds: made once, kept in folds/<data folder's name>.csv, audited each time."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from okkhor.config import FoldsConfig
from okkhor.data.tables import check_unique, read_csv
from okkhor.errors import InputError
from okkhor.files import replacing
from okkhor.schema import HEADS

FOLDS = Path("folds")


@dataclass(frozen=True)
class Folds:
    """numbers: (N,) int64, the fold of each row of train.csv. path: the file that keeps them."""

    numbers: NDArray[np.int64]
    path: Path

    def training_rows(self, fold: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.numbers != fold)

    def validation_rows(self, fold: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.numbers == fold)


@dataclass(frozen=True)
class Audit:
    """What audit_folds measured.

    sizes: images of each fold. deviations: for each head, the largest difference between a class's share of a fold
    and its share of the whole, in percentage points. absent, single: for each head, the classes of which train.csv has
    no image, or one only, which the fold that holds it out can't learn.
    """

    sizes: list[int]
    deviations: dict[str, float]
    absent: dict[str, list[int]]
    single: dict[str, list[int]]


def load_folds(table: pd.DataFrame, root: Path, config: FoldsConfig) -> Folds:
    """Read the folds of a data folder, or make them. table: train.csv. Raises InputError where they do not fit."""
    path = FOLDS / f"{root.resolve().name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        if not path.exists():
            split = pd.DataFrame({"image_id": table["image_id"], "fold": make_folds(table, config)})
            with replacing(path) as temporary:
                split.to_csv(temporary, index=False)
    numbers = read_folds(path, table, config.num_folds)
    if not np.array_equal(numbers, make_folds(table, config)):
        print(f"Note: {path} is kept as it is; made anew with folds.seed={config.seed} it would be another split.")
    return Folds(numbers, path)


def make_folds(table: pd.DataFrame, config: FoldsConfig) -> NDArray[np.int64]:
    """(N,) int64. One grapheme has one label triple, so a split stratified on graphemes is so on all three heads.

    Where a grapheme has fewer images than there are folds, the three labels are stratified together instead, one-hot:
    given integers, iterative-stratification takes every label but 0 for the same.
    """
    if len(table) < config.num_folds:
        raise InputError(f"train.csv has {len(table)} images, too few for folds.num_folds={config.num_folds}.")
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


def read_folds(path: Path, table: pd.DataFrame, num_folds: int) -> NDArray[np.int64]:
    """The fold of each row of train.csv. Raises InputError where the file was made for other rows or another number."""
    split = read_csv(path, ("image_id", "fold"), integers=("fold",))
    check_unique(split, "image_id", path)
    remedy = f"Delete {path} to have it made anew (folds of finished runs then no longer compare)."
    in_file, in_train = set(split["image_id"]), set(table["image_id"])  # numpy compares objects in quadratic time
    unknown, lacking = in_file - in_train, in_train - in_file
    if unknown or lacking:
        first = min(unknown or lacking)
        raise InputError(
            f"{path} does not fit train.csv: {len(lacking)} images have no fold, {len(unknown)} images are not in "
            f"train.csv (the first: {first}). {remedy}"
        )
    found = sorted(split["fold"].unique().tolist())
    if found != list(range(num_folds)):
        raise InputError(f"{path} has the folds {found}, but folds.num_folds={num_folds}. Set it, or: {remedy}")
    by_id = split.set_index("image_id")["fold"]
    return by_id.loc[table["image_id"]].to_numpy(np.int64)


def audit_folds(table: pd.DataFrame, folds: Folds) -> Audit:
    """Raises InputError where a class that train.csv has is missing from the training part of a fold."""
    num_folds = int(folds.numbers.max()) + 1
    sizes = np.bincount(folds.numbers, minlength=num_folds)
    deviations, absent, single = {}, {}, {}
    for head in HEADS:
        counts = np.zeros((num_folds, head.num_classes), np.int64)
        np.add.at(counts, (folds.numbers, table[head.name].to_numpy()), 1)
        totals = counts.sum(axis=0)
        only_here = np.argwhere((counts == totals) & (totals > 1))
        if len(only_here):
            fold, label = only_here[0]
            raise InputError(
                f"{folds.path}: all {totals[label]} images of {head.name} {label} are in fold {fold}: training without "
                "it can't learn them. Delete the file to have it made anew, with another folds.seed if need be."
            )
        shares = counts / sizes[:, None] - totals / len(table)
        deviations[head.name] = float(np.abs(shares).max() * 100)
        absent[head.name] = np.flatnonzero(totals == 0).tolist()
        single[head.name] = np.flatnonzero(totals == 1).tolist()
    return Audit(sizes.tolist(), deviations, absent, single)
