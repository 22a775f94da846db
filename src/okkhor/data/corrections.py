"""What a person knows better than train.csv: images that mislead, and labels that are wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.config import DataConfig
from okkhor.data.tables import TRAIN_COLUMNS, check_unique, read_csv
from okkhor.errors import InputError
from okkhor.schema import HEAD_NAMES, HEADS


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
