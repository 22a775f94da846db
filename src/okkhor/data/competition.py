"""Read a folder in the competition's format: `read_train_set`, `read_test_set`, and `apply_corrections` to labels.

The files are checked against each other before anything slow starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.config import DataConfig
from okkhor.data.shards import Shard, open_shards
from okkhor.data.tables import TRAIN_COLUMNS, check_cells, read_class_map, read_csv, read_test_table, read_train_table
from okkhor.errors import InputError
from okkhor.label_triples import Labels


@dataclass(frozen=True)
class TrainSet:
    """table: train.csv, a row for each image. shards: the files with its images, in any order."""

    table: pd.DataFrame
    shards: tuple[Shard, ...]

    def labels(self, rows: NDArray[np.int64]) -> Labels:
        """Return the labels of these rows of the table."""
        return Labels.from_table(self.table).rows(rows)

    def image_ids(self, rows: NDArray[np.int64]) -> NDArray[np.str_]:
        return np.asarray(self.table["image_id"].to_numpy()[rows], dtype=np.str_)


@dataclass(frozen=True)
class TestSet:
    """table: test.csv, a row for each image and head. shards: the files with its images, in any order."""

    table: pd.DataFrame
    shards: tuple[Shard, ...]


def read_train_set(root: Path, partial: bool = False) -> TrainSet:
    """Raises InputError for anything that is not as Kaggle gives it; partial: train.csv may list more images."""
    _check_folder(root)
    read_class_map(root)
    table = read_train_table(root)
    shards = open_shards(root, "train", partial)
    if partial:
        is_there = table["image_id"].isin(np.concatenate([shard.image_ids for shard in shards]))
        table = table[is_there].reset_index(drop=True)
    check_same_images(root, "train", table["image_id"].to_numpy(), shards)
    return TrainSet(table, shards)


def read_test_set(root: Path, *, check_sample: bool = True) -> TestSet | None:
    """None if the folder has neither test.csv nor test shards. Raises InputError as read_train_set does.

    check_sample: whether sample_submission.csv, if it is there, must fit test.csv.
    """
    _check_folder(root)
    if not (root / "test.csv").exists() and not list(root.glob("test_image_data_*.parquet")):
        return None
    table = read_test_table(root, check_sample=check_sample)
    shards = open_shards(root, "test")
    check_same_images(root, "test", table["image_id"].unique(), shards)
    return TestSet(table, shards)


def _check_folder(root: Path) -> None:
    if not root.is_dir():
        raise InputError(f"data.root={root}: no such folder. Expected the competition's files, see input/README.md.")


def check_same_images(root: Path, split: str, listed: NDArray[np.object_], shards: Sequence[Shard]) -> None:
    """Raises InputError if the csv lists an image that no shard has, or the reverse."""
    listed = np.asarray(listed, dtype=np.str_)
    stored = np.concatenate([shard.image_ids for shard in shards])
    lacking, unlisted = np.setdiff1d(listed, stored), np.setdiff1d(stored, listed)
    if len(lacking) or len(unlisted):
        raise InputError(
            f"{root / split}.csv: {len(lacking)} of its images are in none of the {len(shards)} files "
            f"{split}_image_data_*.parquet, {len(unlisted)} images there are not in {split}.csv (the first: "
            f"{[*lacking, *unlisted][0]}). Take all files from the same download"
            + ("; data.partial=true trains on the images that are there." if split == "train" and len(lacking) else ".")
        )


def apply_corrections(table: pd.DataFrame, data: DataConfig) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Replace the labels that data.label_fixes lists, and find the images that data.blacklist lists.

    For training only: validation keeps all images and Kaggle's labels, because the hidden test has the same noise and
    a score without the hard images would be too high. Raises InputError for an image that train.csv lacks.

    Returns a copy of train.csv with the correct labels, and (N,) bool: which of its N rows may be trained on.
    """
    table, usable = table.copy(), np.ones(len(table), bool)
    if data.blacklist:
        _, rows = _read_list("data.blacklist", data.blacklist, ("image_id",), table)
        usable[rows] = False
        if not usable.any():
            raise InputError(f"{data.blacklist}: lists all images of train.csv. Leave some to train on.")
    if data.label_fixes:
        fixes, rows = _read_list("data.label_fixes", data.label_fixes, TRAIN_COLUMNS, table)
        for name in TRAIN_COLUMNS[1:]:
            table.loc[rows, name] = fixes[name].to_numpy()
    return table, usable


def _read_list(
    key: str, given: str, columns: Sequence[str], table: pd.DataFrame
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The csv file that the setting `key` names, and for each of its lines, the row of the image in train.csv."""
    path = Path(given)
    if not path.is_file():
        raise InputError(f"{key}={given}: there is no such file.")
    listed = read_csv(path, columns, unique="image_id")
    rows = pd.Index(table["image_id"]).get_indexer(pd.Index(listed["image_id"]))
    check_cells(listed["image_id"], rows >= 0, path, "an image of train.csv. Remove the line")
    return listed, rows.astype(np.int64)
