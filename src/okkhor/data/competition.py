"""A folder in the competition's format, its files checked against each other before anything slow starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.config import DataConfig
from okkhor.data.shards import Shard, open_shards
from okkhor.data.tables import TRAIN_COLUMNS, check_unique, read_class_map, read_csv, read_test_table, read_train_table
from okkhor.errors import InputError
from okkhor.label_triples import Labels
from okkhor.schema import HEAD_NAMES, HEADS


@dataclass(frozen=True)
class TrainSet:
    """table: train.csv, a row per image. shards: the files with its images, in any order."""

    table: pd.DataFrame
    shards: tuple[Shard, ...]

    def labels(self, rows: NDArray[np.int64]) -> Labels:
        """Return the labels of these rows of the table."""
        return Labels.from_table(self.table).rows(rows)

    def image_ids(self, rows: NDArray[np.int64]) -> NDArray[np.str_]:
        return np.asarray(self.table["image_id"].to_numpy()[rows], dtype=np.str_)


@dataclass(frozen=True)
class TestSet:
    """table: test.csv, a row per image and head. shards: the files with its images, in any order."""

    table: pd.DataFrame
    shards: tuple[Shard, ...]


def read_train_set(root: Path) -> TrainSet:
    """Raises InputError for anything that is not as Kaggle gives it."""
    check_folder(root)
    table = read_train_table(root, read_class_map(root))
    shards = open_shards(root, "train")
    check_same_images(root, "train", table["image_id"].to_numpy(), shards)
    return TrainSet(table, shards)


def read_test_set(root: Path, *, check_sample: bool = True) -> TestSet | None:
    """None where the folder has neither test.csv nor test shards. Raises InputError as read_train_set does.

    check_sample: whether sample_submission.csv, where it is there, must fit test.csv.
    """
    check_folder(root)
    if not (root / "test.csv").exists() and not list(root.glob("test_image_data_*.parquet")):
        return None
    table = read_test_table(root, check_sample=check_sample)
    shards = open_shards(root, "test")
    check_same_images(root, "test", table["image_id"].unique(), shards)
    return TestSet(table, shards)


def check_folder(root: Path) -> None:
    if not root.is_dir():
        raise InputError(f"data.root={root}: no such folder. Expected the competition's files, see input/README.md.")


def check_same_images(root: Path, split: str, listed: NDArray[np.object_], shards: Sequence[Shard]) -> None:
    """Raises InputError where the csv lists an image that no shard has, or the reverse."""
    stored = np.concatenate([shard.image_ids for shard in shards])
    without_image = np.setdiff1d(np.asarray(listed, dtype=np.str_), stored)
    if len(without_image):
        raise InputError(
            f"{root / split}.csv: {len(without_image)} image_ids have no image in the shards, the first: "
            f"{without_image[0]}. Are all {split}_image_data_*.parquet files there ({len(shards)} found)?"
        )
    unlisted = np.setdiff1d(stored, np.asarray(listed, dtype=np.str_))
    if len(unlisted):
        shard = next(shard for shard in shards if unlisted[0] in shard.image_ids)
        raise InputError(
            f"{shard.path}: {len(unlisted)} images are not in {split}.csv, the first: {unlisted[0]}. "
            "Take csv and parquet files from the same source."
        )


def apply_corrections(table: pd.DataFrame, data: DataConfig) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """train.csv with the labels of data.label_fixes, and which of its N rows data.blacklist leaves: (N,) bool.

    For training alone: a fold is validated with all its images and Kaggle's own labels, as the hidden test has the same
    noise, and a score without the hard images would flatter. Raises InputError for an id that train.csv lacks.
    """
    usable = np.ones(len(table), bool)
    for key, given in (("data.blacklist", data.blacklist), ("data.label_fixes", data.label_fixes)):
        if given and not Path(given).is_file():
            raise InputError(f"{key}={given}: there is no such file.")
    if data.blacklist:
        listed = read_csv(Path(data.blacklist), ("image_id",))
        usable[_find_rows(listed, table, Path(data.blacklist))] = False
        if not usable.any():
            raise InputError(f"{data.blacklist}: lists all images of train.csv. Leave some to train on.")
    if data.label_fixes:
        path = Path(data.label_fixes)
        fixes = read_csv(path, TRAIN_COLUMNS, integers=HEAD_NAMES)
        rows = _find_rows(fixes, table, path)
        _check_labels(fixes, path)
        table = table.copy()
        for name in TRAIN_COLUMNS[1:]:
            values = table[name].to_numpy().copy()
            values[rows] = fixes[name].to_numpy()
            table[name] = values
    return table, usable


def _find_rows(listed: pd.DataFrame, table: pd.DataFrame, path: Path) -> NDArray[np.int64]:
    check_unique(listed, "image_id", path)
    rows = pd.Index(table["image_id"]).get_indexer(pd.Index(listed["image_id"]))
    unknown = np.flatnonzero(rows < 0)
    if len(unknown):
        found = listed["image_id"].iloc[unknown[0]]
        raise InputError(f"{path}, line {unknown[0] + 2}: image_id {found} is not in train.csv. Remove the line.")
    return rows.astype(np.int64)


def _check_labels(fixes: pd.DataFrame, path: Path) -> None:
    for head in HEADS:
        wrong = np.flatnonzero(fixes[head.name] >= head.num_classes)
        if len(wrong):
            raise InputError(
                f"{path}, line {wrong[0] + 2}: {head.name} is {fixes[head.name].iloc[wrong[0]]}, "
                f"expected 0 to {head.num_classes - 1}."
            )
