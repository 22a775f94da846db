"""A data folder as a whole: csv and parquet files fit together, or it is said how they do not."""

from pathlib import Path

import pyarrow as pa
from helpers import NUM_TEST, NUM_TRAIN, PIXEL_COLUMNS, TRIPLES, Damage, Refused, number_of

from okkhor.data import competition
from okkhor.data.competition import TrainSet, read_test_set, read_train_set
from okkhor.schema import HEADS


def test_a_sound_folder_is_read_with_all_its_shards(train_set: TrainSet, test_set: competition.TestSet) -> None:
    assert len(train_set.table) == sum(len(shard.image_ids) for shard in train_set.shards) == NUM_TRAIN
    assert sum(len(shard.image_ids) for shard in test_set.shards) == NUM_TEST
    assert len(test_set.table) == NUM_TEST * len(HEADS)


def test_labels_and_ids_of_rows_belong_together(train_set: TrainSet) -> None:
    rows = train_set.table.index.to_numpy()[[5, 3, 20]]
    labels = train_set.labels(rows)
    for place, image_id in enumerate(train_set.image_ids(rows)):
        triple = tuple(int(labels[head.name][place]) for head in HEADS)
        assert triple == TRIPLES[number_of(image_id) % len(TRIPLES)]


def test_an_id_of_train_csv_without_an_image_is_refused(damaged: Damage, refused: Refused) -> None:
    root = damaged("train.csv", lambda text: text + b"Train_99,0,0,0,x\n")
    refused(["train.csv", "1 image_ids have no image", "Train_99", "2 found"], read_train_set, root)


def test_a_last_shard_that_is_missing_is_noticed(damaged: Damage, refused: Refused) -> None:
    root = damaged("train_image_data_1.parquet")
    refused(["train.csv", "12 image_ids have no image", "1 found"], read_train_set, root)


def test_an_image_that_train_csv_lacks_is_refused(damaged: Damage, refused: Refused) -> None:
    def drop_image(content: bytes) -> bytes:
        return b"\n".join(line for line in content.split(b"\n") if not line.startswith(b"Train_14,"))

    words = ["train_image_data_1.parquet", "1 images are not in train.csv", "Train_14"]
    refused(words, read_train_set, damaged("train.csv", drop_image))


def test_an_id_of_test_csv_without_an_image_is_refused(damaged: Damage, refused: Refused) -> None:
    root = damaged("test_image_data_1.parquet")
    refused(["test.csv", "2 image_ids have no image", "Test_2", "1 found"], read_test_set, root)


def test_an_image_that_test_csv_lacks_is_refused(damaged: Damage, refused: Refused) -> None:
    def drop_image(content: bytes) -> bytes:
        return b"\n".join(line for line in content.split(b"\n") if b"Test_1" not in line)

    damaged("test.csv", drop_image)
    root = damaged("sample_submission.csv")
    refused(["test_image_data_0.parquet", "1 images are not in test.csv", "Test_1"], read_test_set, root)


def test_a_folder_without_test_files_has_no_test_set(damaged: Damage) -> None:
    for name in ("test.csv", "sample_submission.csv", "test_image_data_0.parquet", "test_image_data_1.parquet"):
        root = damaged(name)
    assert read_test_set(root) is None


def test_test_shards_without_test_csv_are_refused(damaged: Damage, refused: Refused) -> None:
    refused(["test.csv", "not there"], read_test_set, damaged("test.csv"))


def test_a_folder_that_is_not_there_is_refused_by_the_name_of_its_setting(tmp_path: Path, refused: Refused) -> None:
    refused(["data.root=", "nowhere", "no such folder"], read_train_set, tmp_path / "nowhere")


def test_the_test_files_are_checked_as_the_train_files_are(damaged: Damage, refused: Refused) -> None:
    schema = pa.schema([("image_id", pa.string()), *((name, pa.int16()) for name in PIXEL_COLUMNS)])
    root = damaged("test_image_data_1.parquet", table=schema)
    refused(["test_image_data_1.parquet", "'0' is int16", "expected uint8"], read_test_set, root)
