"""The parquet shards: every pixel at its place, and anything that would scramble or lose images refused."""

import shutil
from collections.abc import Sequence
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
from okkhor.data.shards import Shard, fingerprint, open_shard, open_shards, read_images
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


def test_row_groups_blocks_integer_types_and_an_index_change_no_pixel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, IMAGE_HEIGHT, IMAGE_WIDTH), dtype=np.uint8)
    types = (np.uint8, np.uint16, np.int16, np.int32, np.int64, np.uint64)
    columns = [pa.array(column.astype(types[k % 6])) for k, column in enumerate(pixels.reshape(3, -1).T)]
    image_ids, index = pa.array([f"Train_{k}" for k in range(3)]), pa.array([7, 8, 9])
    table = pa.table([image_ids, *columns, index], names=[*SCHEMA.names, "__index_level_0__"])
    write_shard(table, tmp_path / SHARD, rows_per_group=2)
    monkeypatch.setattr(shards, "COLUMNS_PER_BLOCK", 160_000)  # 20,000 columns of 64 bits at a time, then the rest
    monkeypatch.setattr(shards, "IMAGES_PER_BLOCK", 2)
    blocks = list(read_images(open_first(tmp_path), tmp_path))
    assert [image_id for image_ids, _ in blocks for image_id in image_ids] == ["Train_0", "Train_1", "Train_2"]
    assert [len(images) for _, images in blocks] == [2, 1]
    np.testing.assert_array_equal(np.concatenate([images for _, images in blocks]), pixels)


def test_the_fingerprint_follows_the_images_wherever_they_lie(tmp_path: Path) -> None:
    """Issue 25, item 1 (a): other pixels, another order or another csv are other images."""
    table = shard_table("Train", [0, 1])
    swapped = table.take([1, 0])
    tables = {"one": table, "order": swapped, "pixels": swapped.set_column(0, "image_id", table["image_id"])}
    for name in ("one", "order", "pixels", "same", "csv"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.csv").write_text("b" if name == "csv" else "a")
        if name in tables:
            write_shard(tables[name], tmp_path / name / SHARD)
        else:
            shutil.copy(tmp_path / "one" / SHARD, tmp_path / name)
    found = {
        folder.name: fingerprint([open_shard(folder / SHARD)], folder / "train.csv") for folder in tmp_path.iterdir()
    }
    assert found.pop("same") == found["one"]
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("kind", [pa.string_view(), pa.dictionary(pa.uint32(), pa.large_string()), pa.large_string()])
@pytest.mark.parametrize("place", [0, 1, 32_332])
def test_an_image_id_as_polars_writes_it_in_any_place_beside_an_index_is_read(
    tmp_path: Path, kind: pa.DataType, place: int
) -> None:
    """string_view and categorical; columns are found by name, so neither pixel nor id moves."""
    names = [*PIXEL_COLUMNS[:place], "image_id", *PIXEL_COLUMNS[place:], "__index_level_0__"]
    table = shard_table("Train", [5, 9]).append_column("__index_level_0__", pa.array([1, 2])).select(names)
    index = table.schema.get_field_index("image_id")
    table = table.set_column(index, pa.field("image_id", kind), table["image_id"].cast(kind))
    write_shard(table, tmp_path / SHARD)
    shard = open_first(tmp_path)
    assert shard.image_ids.tolist() == ["Train_5", "Train_9"]
    if place == 1:  # reading takes a second
        ((_, images),) = read_images(shard, tmp_path)
        np.testing.assert_array_equal(images, [paint_number(5), paint_number(9)])


def retyped(column: int, kind: pa.DataType) -> pa.Schema:
    return SCHEMA.set(column, pa.field(SCHEMA.names[column], kind))


SCHEMA_FAULTS = {
    "a missing pixel column": (SCHEMA.remove(78), ["32332 columns", "column 79 is '78', expected '77'"]),
    "no image_id": (SCHEMA.remove(0), ["32332 columns", "column 1 is '0', expected 'image_id'"]),
    "an extra column": (SCHEMA.append(pa.field("77", pa.uint8())), ["32334 columns", "is '77', expected 'none'"]),
    "columns out of order": (SCHEMA.remove(8).insert(9, SCHEMA.field(8)), ["column 9 is '8'", "scrambled"]),
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
@pytest.mark.parametrize(
    ("values", "found"), [(pa.array([9, None, 9], pa.uint8()), "nan"), (pa.array([0, 256, -1], pa.int16()), "256")]
)
def test_pixels_that_do_not_fit_are_refused_with_image_and_column(
    tmp_path: Path, refused: Refused, values: pa.Array, found: str
) -> None:
    write_shard(shard_table("Train", [0, 1, 2]).set_column(78, "77", values), tmp_path / SHARD)
    refused([SHARD, f"Train_1 has {found} in pixel column '77'", "0 to 255"], read_first, tmp_path)


def test_a_missing_image_id_is_refused(tmp_path: Path, refused: Refused) -> None:
    hole = shard_table("Train", [0, 1]).set_column(0, "image_id", pa.array(["Train_0", None]))
    write_shard(hole, tmp_path / SHARD)
    refused([SHARD, "image_id of row 2 is missing"], open_first, tmp_path)


def test_an_image_that_occurs_twice_is_refused_with_both_shards(damaged: Damage, refused: Refused) -> None:
    root = damaged(SHARD, table=shard_table("Train", [13, 1]))
    words = ["image Train_13 occurs twice", f"in {SHARD} and in train_image_data_1.parquet"]
    refused(words, open_shards, root, "train")


@pytest.mark.parametrize(
    ("numbers", "missing"), [(("0", "1", "3"), 2), (("0", "00"), 1), (("0", "0 (1)"), 1), (("1",), 0), ((), 0)]
)
def test_a_missing_shard_is_told_before_any_is_opened(
    tmp_path: Path, refused: Refused, numbers: Sequence[str], missing: int
) -> None:
    names = [f"train_image_data_{number}.parquet" for number in numbers]
    for name in names:
        (tmp_path / name).touch()
    words = [f"train_image_data_{missing}.parquet: not there", f"found: {', '.join(sorted(names)) or 'none'}."]
    refused(words, open_shards, tmp_path, "train")
