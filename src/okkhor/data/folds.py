"""`load_folds` splits train.csv into folds once and keeps them in a file of folds/; `audit_folds` checks them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from okkhor.config import FoldsConfig
from okkhor.data.tables import check_cells, read_csv
from okkhor.errors import InputError
from okkhor.files import holding, replacing
from okkhor.label_triples import number_triples
from okkhor.schema import HEADS

FOLDS = Path("folds")
UNSEEN = "unseen"  # the value of folds.scheme, and a word in the name of its folds file; such a split needs holdout.py


@dataclass(frozen=True)
class Folds:
    """The split of the N images of train.csv."""

    numbers: NDArray[np.int64]  # (N,): the fold that validates with each image
    unseen_in: NDArray[np.int64]  # (N,): the fold whose training lacks all images of the same grapheme, or -1
    path: Path  # the file that keeps the split
    group: str = ""  # the column of train.csv whose values each belong to one fold only

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
    """The measurements of audit_folds, for each fold or for each head."""

    sizes: list[int]  # images of each fold
    deviations: dict[str, float]  # the most that a class's share of a fold differs from that of all, percentage points
    absent: dict[str, list[int]]  # the classes without an image in train.csv
    single: dict[str, list[int]]  # the classes with one image
    unseen_graphemes: list[int]  # how many graphemes the fold's training lacks
    unseen_shares: list[float]  # of the fold's validation images, those with one of these graphemes, 0 to 1


def load_folds(table: pd.DataFrame, root: Path, config: FoldsConfig) -> Folds:
    """Read the folds of a data folder, or make and write them. Print a note if other settings made the file.

    table: train.csv. The file is named after the folder, the scheme and the group: folds/sample-unseen-writer.csv.
    Raises InputError if the folds can't be made, or the file doesn't fit train.csv.
    """
    words = (root.resolve().name, UNSEEN if config.scheme == UNSEEN else "", config.group)
    path = FOLDS / f"{'-'.join(filter(None, words))}.csv"
    made = pd.DataFrame({"image_id": table["image_id"], "fold": make_folds(table, config)})
    if config.scheme == UNSEEN:
        from okkhor.data.holdout import hold_out_graphemes

        made["unseen_in"] = hold_out_graphemes(table, made["fold"].to_numpy(), config)
    path.parent.mkdir(parents=True, exist_ok=True)
    with holding(path.with_name(f".{path.name}.lock")):
        if not path.exists():
            with replacing(path) as temporary:
                made.to_csv(temporary, index=False)
    folds = read_folds(path, table, config)
    same = np.array_equal(folds.numbers, made["fold"])
    if not same or not np.array_equal(folds.unseen_in, made.get("unseen_in", folds.unseen_in)):
        share = f" and folds.unseen_share={config.unseen_share:g}" if config.scheme == UNSEEN else ""
        print(f"Note: {path} is kept, although folds.seed={config.seed}{share} would make another split.")
    return folds


def make_folds(table: pd.DataFrame, config: FoldsConfig) -> NDArray[np.int64]:
    """The fold of each row: (N,) int64. Stratify on graphemes, and so on all heads: a grapheme has one label triple.

    If a grapheme has fewer images than there are folds, stratify on the labels of the three heads together. They are
    one-hot, because iterative-stratification treats all integers but 0 as the same label.
    """
    if len(table) < config.num_folds:
        raise InputError(f"train.csv has {len(table)} images, too few for folds.num_folds={config.num_folds}.")
    if config.group:
        from okkhor.data.holdout import split_by_group

        return split_by_group(table, config)
    numbers = np.zeros(len(table), np.int64)
    settings = {"n_splits": config.num_folds, "shuffle": True, "random_state": config.seed}
    if table["grapheme"].value_counts().min() >= config.num_folds:
        splits = StratifiedKFold(**settings).split(numbers, table["grapheme"])
    else:
        one_hot = np.hstack([np.eye(head.num_classes, dtype=np.int64)[table[head.name]] for head in HEADS])
        splits = MultilabelStratifiedKFold(**settings).split(numbers, one_hot)
    for fold, (_, validation) in enumerate(splits):
        numbers[validation] = fold
    return numbers


def read_folds(path: Path, table: pd.DataFrame, config: FoldsConfig) -> Folds:
    """Read a folds file, in the order of train.csv. Raises InputError if it has other images or another scheme."""
    try:
        split = _read_split(path, config)
        in_file, in_train = set(split["image_id"]), set(table["image_id"])  # numpy compares objects in quadratic time
        if in_file != in_train:
            unknown, lacking = in_file - in_train, in_train - in_file
            raise InputError(
                f"{path} does not fit train.csv: {len(lacking)} images have no fold, {len(unknown)} images are not in "
                f"train.csv (the first: {min(unknown or lacking)})."
            )
        ordered = split.set_index("image_id").loc[table["image_id"]]
        numbers, unseen_in = ordered["fold"].to_numpy(), ordered["unseen_in"].to_numpy()
        if config.scheme == UNSEEN:
            from okkhor.data.holdout import check_held_out

            check_held_out(table, numbers, unseen_in, path)
    except InputError as error:
        remedy = f"Delete {path} to have it made again; finished runs then can't be compared with new ones."
        raise InputError(f"{error}\n{remedy}") from error
    return Folds(numbers, unseen_in, path, config.group)


def _read_split(path: Path, config: FoldsConfig) -> pd.DataFrame:
    """image_id (str, each once), fold and unseen_in (int64); unseen_in is -1 unless folds.scheme=unseen."""
    columns = ("image_id", "fold", *(("unseen_in",) if config.scheme == UNSEEN else ()))
    split = read_csv(path, columns, integers=("fold",), unique="image_id")
    found = sorted(split["fold"].unique().tolist())
    if found != list(range(config.num_folds)):
        raise InputError(f"{path} has the folds {found[:20]}, but folds.num_folds={config.num_folds}. Set that, or:")
    if config.scheme != UNSEEN:
        return split.assign(unseen_in=np.int64(-1))
    known = [str(fold) for fold in range(-1, config.num_folds)]
    check_cells(split["unseen_in"], split["unseen_in"].isin(known), path, f"-1 or a fold up to {known[-1]}")
    return split.astype({"unseen_in": np.int64})


def audit_folds(table: pd.DataFrame, folds: Folds) -> Audit:
    """Measure the folds. Raises InputError if a fold's training lacks a class, or a group is in two folds."""
    num_folds = int(folds.numbers.max()) + 1
    sizes = np.bincount(folds.numbers, minlength=num_folds)
    if folds.group:
        from okkhor.data.holdout import check_groups_apart

        check_groups_apart(table[folds.group], folds.numbers, folds.path)
    deviations, absent, single = {}, {}, {}
    for head in HEADS:
        labels = table[head.name].to_numpy()
        totals = np.bincount(labels, minlength=head.num_classes)
        counts = np.zeros((num_folds, head.num_classes), np.int64)
        for fold in range(num_folds):
            counts[fold] = np.bincount(labels[folds.validation_rows(fold)], minlength=head.num_classes)
            trained = np.bincount(labels[folds.training_rows(fold)], minlength=head.num_classes)
            lost = np.flatnonzero((trained == 0) & (totals > 1))  # one image can't be on both sides
            if len(lost):
                raise InputError(
                    f"{folds.path}: all {totals[lost[0]]} images of {head.name} {lost[0]} are in fold {fold} or held "
                    "out with it: training without it can't learn them. Delete the file to have it made again, with "
                    "another folds.seed or without folds.group if needed."
                )
        shares = counts / sizes[:, None] - totals / len(table)
        deviations[head.name] = float(np.abs(shares).max() * 100)
        absent[head.name] = np.flatnonzero(totals == 0).tolist()
        single[head.name] = np.flatnonzero(totals == 1).tolist()
    ids, _ = number_triples(table)
    unseen_graphemes = [len(np.unique(ids[folds.unseen_in == fold])) for fold in range(num_folds)]
    unseen_shares = [float(folds.unseen(fold).mean()) for fold in range(num_folds)]
    return Audit(sizes.tolist(), deviations, absent, single, unseen_graphemes, unseen_shares)
