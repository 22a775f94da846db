"""Blacklisted images and labels that are set right."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import Refused

from okkhor.config import DataConfig
from okkhor.data.competition import TrainSet, apply_corrections

HEADER = "image_id,grapheme_root,vowel_diacritic,consonant_diacritic,grapheme\n"


def write(tmp_path: Path, content: str) -> str:
    path = tmp_path / "list.csv"
    path.write_text(content, encoding="utf-8")
    return str(path)


def test_without_lists_all_stays_as_it_is(train_set: TrainSet) -> None:
    table, usable = apply_corrections(train_set.table, DataConfig())
    pd.testing.assert_frame_equal(table, train_set.table)
    assert usable.all()


def test_blacklisted_images_are_not_trained_on(train_set: TrainSet, tmp_path: Path) -> None:
    path = write(tmp_path, "image_id\nTrain_3\nTrain_7\n")
    _, usable = apply_corrections(train_set.table, DataConfig(blacklist=path))
    assert sorted(train_set.table["image_id"][~usable]) == ["Train_3", "Train_7"]


def test_fixed_labels_replace_those_of_train_csv_in_a_copy(train_set: TrainSet, tmp_path: Path) -> None:
    before = train_set.table.copy()
    path = write(tmp_path, HEADER + "Train_5,9,8,6,x\n")
    table, usable = apply_corrections(train_set.table, DataConfig(label_fixes=path))
    assert usable.all()
    row = table.set_index("image_id").loc["Train_5"]
    assert row.tolist() == [9, 8, 6, "x"]
    others = table["image_id"] != "Train_5"
    pd.testing.assert_frame_equal(table[others], before[others])
    pd.testing.assert_frame_equal(train_set.table, before)
    assert table["grapheme_root"].dtype == np.int64


@pytest.mark.parametrize(
    ("setting", "content", "words"),
    [
        ("blacklist", "image_id\nTrain_3\nTrain_999\n", ["list.csv, line 3", "Train_999", "not in train.csv"]),
        ("blacklist", "image_id\nTrain_3\nTrain_3\n", ["list.csv, line 3", "Train_3", "line 2 already"]),
        ("blacklist", "id\nTrain_3\n", ["list.csv", "missing: image_id"]),
        ("label_fixes", HEADER + "Train_5,9,11,6,x\n", ["list.csv, line 2", "vowel_diacritic is 11", "0 to 10"]),
        ("label_fixes", HEADER + "Train_5,a,1,6,x\n", ["list.csv, line 2", "grapheme_root is 'a'"]),
    ],
)
def test_a_faulty_list_is_refused_with_its_line(
    train_set: TrainSet, tmp_path: Path, refused: Refused, setting: str, content: str, words: list[str]
) -> None:
    data = DataConfig(**{setting: write(tmp_path, content)})  # type: ignore[arg-type]
    refused(words, apply_corrections, train_set.table, data)
