"""A folder in the competition's format, its files checked against each other before anything slow starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.data.shards import Shard, open_shards
from okkhor.data.tables import read_class_map, read_test_table, read_train_table
from okkhor.errors import InputError
from okkhor.schema import HEAD_NAMES


@dataclass(frozen=True)
class TrainSet:
    """table: train.csv, a row per image. shards: the files with its images, in any order."""

    table: pd.DataFrame
    shards: tuple[Shard, ...]

    def labels(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """For each head, the labels of these rows of the table."""
        return {name: self.table[name].to_numpy()[rows] for name in HEAD_NAMES}

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
