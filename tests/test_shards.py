"""The parquet shards: every pixel at its place, and anything that would scramble or lose images refused."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from helpers import (
    NUM_TRAIN,
    PIXEL_COLUMNS,
    Damage,
    Refused,
    number_of,
    paint_number,
    shard_table,
    write_schema,
    write_shard,
)

from okkhor.data import shards
from okkhor.data.shards import Shard, open_shard, open_shards, read_images
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

SHARD = "train_image_data_0.parquet"
SCHEMA = pa.schema([("image_id", pa.string()), *((name, pa.uint8()) for name in PIXEL_COLUMNS)])


def open_first(root: Path) -> Shard:
    return open_shard(root / SHARD)


def read_first(root: Path) -> list[object]:
    return list(read_images(open_first(root), root))


def test_every_image_of_every_shard_is_read_once_with_its_own_pixels(competition: Path, tmp_path: Path) -> None:
    seen = []
    for shard in open_shards(competition, "train"):
        for image_ids, images in read_images(shard, tmp_path):
            assert images.shape == (len(image_ids), IMAGE_HEIGHT, IMAGE_WIDTH)
            for image_id, image in zip(image_ids, images, strict=True):
                np.testing.assert_array_equal(image, paint_number(number_of(image_id)))
                seen.append(number_of(image_id))
    assert sorted(seen) == list(range(NUM_TRAIN))
    assert not list(tmp_path.iterdir()), "something is left in the scratch folder"


def test_many_row_groups_and_many_blocks_give_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, IMAGE_HEIGHT, IMAGE_WIDTH), dtype=np.uint8)
    image_ids = pa.array([f"Train_{k}" for k in range(3)])
    table = pa.table([image_ids, *map(pa.array, np.ascontiguousarray(pixels.reshape(3, -1).T))], schema=SCHEMA)
    write_shard(table, tmp_path / SHARD, rows_per_group=2)
    monkeypatch.setattr(shards, "COLUMNS_PER_BLOCK", 20_000)  # 20,000 columns at a time, then the rest
    monkeypatch.setattr(shards, "IMAGES_PER_BLOCK", 2)
    blocks = list(read_images(open_first(tmp_path), tmp_path))
    assert [image_id for image_ids, _ in blocks for image_id in image_ids] == ["Train_0", "Train_1", "Train_2"]
    assert [len(images) for _, images in blocks] == [2, 1]
    np.testing.assert_array_equal(np.concatenate([images for _, images in blocks]), pixels)


def swapped() -> pa.Schema:
    fields = list(SCHEMA)
    fields[8], fields[9] = fields[9], fields[8]
    return pa.schema(fields)


def retyped(column: int, kind: pa.DataType) -> pa.Schema:
    return SCHEMA.set(column, pa.field(SCHEMA.names[column], kind))


SCHEMA_FAULTS = {
    "a missing pixel column": (SCHEMA.remove(78), ["32332 columns", "missing: 77;"]),
    "no image_id": (SCHEMA.remove(0), ["missing: image_id"]),
    "many missing columns": (pa.schema(list(SCHEMA)[:-9]), ["missing: 32323, 32324, 32325 and 6 more"]),
    "an extra column": (SCHEMA.append(pa.field("label", pa.uint8())), ["32334 columns", "extra: label"]),
    "pandas' index": (SCHEMA.append(pa.field("__index_level_0__", pa.int64())), ["extra: __index_level_0__"]),
    "a column twice": (SCHEMA.append(pa.field("77", pa.uint8())), ["extra: 77"]),
    "columns out of order": (swapped(), ["out of order", "column 9 is '8', expected '7'"]),
    "a dtype other than uint8": (retyped(78, pa.int64()), ["'77' is int64", "expected uint8"]),
    "pixels as shares": (retyped(1, pa.float32()), ["'0' is float", "expected uint8"]),
    "image_id as a number": (retyped(0, pa.int64()), ["image_id is int64", "expected string"]),
    "no row": (SCHEMA, ["0 rows", "at least one image"]),
}


@pytest.mark.parametrize("fault", SCHEMA_FAULTS)
def test_a_wrongly_laid_out_shard_is_refused_with_its_place(tmp_path: Path, refused: Refused, fault: str) -> None:
    schema, words = SCHEMA_FAULTS[fault]
    write_schema(schema, tmp_path / SHARD)
    refused([SHARD, *words], open_first, tmp_path)


BROKEN_FILES = {
    "an empty file": (lambda _: b"", ["0 bytes", "again"]),
    "a truncated file": (lambda content: content[:-1000], ["damaged or truncated", "again"]),
    "only its first half": (lambda content: content[: len(content) // 2], ["damaged or truncated", "again"]),
    "no parquet": (lambda _: b"<html>Too many requests</html>", ["damaged or truncated", "again"]),
}


@pytest.mark.parametrize("fault", BROKEN_FILES)
def test_a_broken_shard_is_refused(damaged: Damage, refused: Refused, fault: str) -> None:
    change, words = BROKEN_FILES[fault]
    refused([SHARD, *words], open_first, damaged(SHARD, change))


@pytest.fixture
def few_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns are read a thousand at a time, so that the first fault is met early."""
    monkeypatch.setattr(shards, "COLUMNS_PER_BLOCK", 1000)


@pytest.mark.usefixtures("few_columns")
def test_damage_within_the_pixels_is_refused_when_they_are_read(damaged: Damage, refused: Refused) -> None:
    def overwrite(content: bytes) -> bytes:
        return content[:20_000] + b"\xff" * 20_000 + content[40_000:]

    refused([SHARD, "damaged or truncated"], read_first, damaged(SHARD, overwrite))


@pytest.mark.usefixtures("few_columns")
def test_missing_pixels_are_refused_with_image_and_column(damaged: Damage, refused: Refused) -> None:
    table = shard_table("Train", [0, 1, 2])
    hole = table.set_column(78, "77", pa.array([9, None, 9], pa.uint8()))
    refused([SHARD, "Train_1", "'77'"], read_first, damaged(SHARD, table=hole))


def test_a_missing_image_id_is_refused(damaged: Damage, refused: Refused) -> None:
    table = shard_table("Train", [0, 1])
    hole = table.set_column(0, "image_id", pa.array(["Train_0", None]))
    refused([SHARD, "image_id is missing in 1 row"], open_first, damaged(SHARD, table=hole))


@pytest.fixture
def invented_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Shard, ...]]:
    """Opens shards that hold these image_ids, without the files' time."""

    def open_invented(*image_ids: Sequence[str]) -> tuple[Shard, ...]:
        for number in range(len(image_ids)):
            (tmp_path / f"train_image_data_{number}.parquet").touch()
        monkeypatch.setattr(
            shards, "open_shard", lambda path: Shard(path, np.array(image_ids[int(path.stem.rpartition("_")[2])]))
        )
        return open_shards(tmp_path, "train")

    return open_invented


Invented = Callable[..., tuple[Shard, ...]]


def test_an_image_twice_in_one_shard_is_refused(invented_shards: Invented, refused: Refused) -> None:
    words = ["a stands twice", f"in {SHARD} and in {SHARD}"]
    refused(words, invented_shards, ["a", "b", "a"], ["c"])


def test_an_image_in_two_shards_is_refused_with_both(invented_shards: Invented, refused: Refused) -> None:
    words = ["b stands twice", f"in {SHARD} and in train_image_data_2.parquet"]
    refused(words, invented_shards, ["a", "b"], ["c"], ["d", "b"])


def test_eleven_shards_come_in_the_order_of_their_numbers(invented_shards: Invented) -> None:
    image_ids = [[f"image {number}"] for number in range(11)]
    assert [shard.image_ids.tolist() for shard in invented_shards(*image_ids)] == image_ids


def test_a_gap_in_the_shard_numbers_is_refused_before_any_is_opened(tmp_path: Path, refused: Refused) -> None:
    for number in (0, 1, 3):
        (tmp_path / f"train_image_data_{number}.parquet").touch()
    refused(["train_image_data_2.parquet is missing"], open_shards, tmp_path, "train")


def test_a_shard_number_that_stands_twice_is_refused(tmp_path: Path, refused: Refused) -> None:
    for number in ("0", "00"):
        (tmp_path / f"train_image_data_{number}.parquet").touch()
    refused(["train_image_data_1.parquet is missing"], open_shards, tmp_path, "train")


def test_a_shard_without_a_number_is_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "train_image_data_0 (1).parquet").touch()
    refused(["train_image_data_0 (1).parquet", "a number"], open_shards, tmp_path, "train")


def test_a_folder_without_shards_is_refused(tmp_path: Path, refused: Refused) -> None:
    refused(["train_image_data_0.parquet", "not there"], open_shards, tmp_path, "train")


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / SHARD).symlink_to(tmp_path / "gone.parquet")
    refused([SHARD, "No such file"], open_shards, tmp_path, "train")
