"""A data folder as a whole: csv and parquet files fit together, and corrections change what is trained on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from helpers import NUM_TRAIN, PIXEL_COLUMNS, TRIPLES, Damage, Refused, number_of

from okkhor.config import DataConfig
from okkhor.data.competition import TrainSet, apply_corrections, read_test_set, read_train_set
from okkhor.schema import HEADS


def drop_image(image_id: str) -> Callable[[bytes], bytes]:
    return lambda text: b"\n".join(line for line in text.split(b"\n") if f"{image_id}," not in line.decode())


def test_labels_and_ids_of_rows_belong_together(train_set: TrainSet) -> None:
    rows = train_set.table.index.to_numpy()[[5, 3, 20]]
    labels = train_set.labels(rows)
    for place, image_id in enumerate(train_set.image_ids(rows)):
        triple = tuple(int(labels[head.name][place]) for head in HEADS)
        assert triple == TRIPLES[number_of(image_id) % len(TRIPLES)]


def test_a_last_shard_that_is_missing_is_noticed(damaged: Damage, refused: Refused) -> None:
    words = ["train.csv", "12 of its images", "1 files", "data.partial=true"]
    refused(words, read_train_set, damaged("train_image_data_1.parquet"))
    refused(["test.csv", "2 of its images", "1 files"], read_test_set, damaged("test_image_data_1.parquet"))


@pytest.mark.parametrize("missing", [0, 1])
def test_a_part_of_the_shards_is_trained_on_where_a_setting_says_so(
    damaged: Damage, refused: Refused, train_set: TrainSet, missing: int
) -> None:
    root = damaged(f"train_image_data_{missing}.parquet")
    refused(["data.partial=true"], read_train_set, root)
    part = read_train_set(root, partial=True)
    (shard,) = part.shards
    assert set(part.table["image_id"]) == set(shard.image_ids)
    rows = np.arange(len(part.table))
    whole = train_set.table.set_index("image_id").loc[part.image_ids(rows)]
    assert part.labels(rows).array.tolist() == whole[[head.name for head in HEADS]].to_numpy().tolist()


def test_an_image_that_the_csv_lacks_is_refused(damaged: Damage, refused: Refused) -> None:
    words = ["train.csv", "1 images there are not in train.csv", "Train_14"]
    refused(words, read_train_set, damaged("train.csv", drop_image("Train_14")))
    damaged("sample_submission.csv")
    words = ["test.csv", "1 images there are not in test.csv", "Test_1"]
    refused(words, read_test_set, damaged("test.csv", drop_image("Test_1")))


def test_a_folder_without_test_files_has_no_test_set(damaged: Damage, refused: Refused) -> None:
    root = damaged("test.csv")
    refused(["test.csv", "not there"], read_test_set, root)  # but shards
    for name in ("sample_submission.csv", "test_image_data_0.parquet", "test_image_data_1.parquet"):
        damaged(name)
    assert read_test_set(root) is None


def test_a_folder_that_is_not_there_is_refused_by_the_name_of_its_setting(tmp_path: Path, refused: Refused) -> None:
    refused(["data.root=", "nowhere", "no such folder"], read_train_set, tmp_path / "nowhere")


def test_class_map_and_the_test_shards_are_checked_too(damaged: Damage, refused: Refused) -> None:
    schema = pa.schema([("image_id", pa.string()), *((name, pa.float32()) for name in PIXEL_COLUMNS)])
    root = damaged("test_image_data_1.parquet", table=schema)
    refused(["test_image_data_1.parquet", "'0' is float", "expected uint8"], read_test_set, root)
    refused(["class_map.csv", "not there"], read_train_set, damaged("class_map.csv"))


HEADER = "image_id,grapheme_root,vowel_diacritic,consonant_diacritic,grapheme\n"


def listing(folder: Path, setting: str, content: str) -> DataConfig:
    """data.blacklist or data.label_fixes as a file with this content."""
    path = folder / f"{setting}.csv"
    path.write_text(content, encoding="utf-8")
    return DataConfig(**{setting: str(path)})  # type: ignore[arg-type]


def test_blacklisted_images_are_not_trained_on(train_set: TrainSet, tmp_path: Path) -> None:
    _, usable = apply_corrections(train_set.table, listing(tmp_path, "blacklist", "image_id\nTrain_3\nTrain_7\n"))
    assert sorted(train_set.table["image_id"][~usable]) == ["Train_3", "Train_7"]


def test_fixed_labels_replace_those_of_train_csv_in_a_copy(train_set: TrainSet, tmp_path: Path) -> None:
    before = train_set.table.copy()
    table, usable = apply_corrections(train_set.table, listing(tmp_path, "label_fixes", HEADER + "Train_5,9,8,6,x\n"))
    assert usable.all()
    assert table.set_index("image_id").loc["Train_5"].tolist() == [9, 8, 6, "x"]
    others = table["image_id"] != "Train_5"
    pd.testing.assert_frame_equal(table[others], before[others])
    pd.testing.assert_frame_equal(train_set.table, before)
    assert table["grapheme_root"].dtype == np.int64


@pytest.mark.parametrize(
    ("setting", "content", "words"),
    [
        ("blacklist", "image_id\nTrain_3\nTrain_999\n", ["line 3", "Train_999", "an image of train.csv"]),
        ("blacklist", "image_id\nTrain_3\nTrain_3\n", ["line 3", "Train_3", "line 2 already"]),
        ("blacklist", "id\nTrain_3\n", ["missing: image_id"]),
        ("blacklist", "image_id\n" + "".join(f"Train_{k}\n" for k in range(NUM_TRAIN)), ["all images"]),
        ("label_fixes", HEADER + "Train_5,9,11,6,x\n", ["line 2", "vowel_diacritic is '11'", "0 to 10"]),
        ("label_fixes", HEADER + "Train_5,a,1,6,x\n", ["line 2", "grapheme_root is 'a'"]),
    ],
)
def test_a_faulty_list_is_refused_with_its_line(
    train_set: TrainSet, tmp_path: Path, refused: Refused, setting: str, content: str, words: list[str]
) -> None:
    refused([f"{setting}.csv", *words], apply_corrections, train_set.table, listing(tmp_path, setting, content))


def test_a_list_that_is_not_there_is_refused_by_the_name_of_its_setting(train_set: TrainSet, refused: Refused) -> None:
    refused(["data.blacklist=none.csv"], apply_corrections, train_set.table, DataConfig(blacklist="none.csv"))
