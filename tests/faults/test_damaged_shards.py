"""A damaged shard is read as pyarrow reads it, row by row, or refused by its name."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import STRANGE_CELLS, check_error, damage_file
from helpers import PIXEL_COLUMNS, shard_table, write_shard

from okkhor.data.competition import check_same_images
from okkhor.data.shards import open_shard, open_shards, read_images
from okkhor.errors import InputError

pytestmark = pytest.mark.slow

SHARDS = [f"train_image_data_{number}.parquet" for number in range(2)]
NUMBERS = range(4), range(4, 6)  # the images of each shard
STRANGE_IDS = (*STRANGE_CELLS, "../" * 60, "x" * 5_000_000, "Train_0\0", "Train_0 ", "TRAIN_0", "Train_00", "Train_5")
TYPES = (
    *(pa.int8(), pa.int64(), pa.uint16(), pa.float16(), pa.float32(), pa.bool_(), pa.string(), pa.large_string()),
    *(pa.binary(), pa.dictionary(pa.int8(), pa.uint8()), pa.null(), pa.list_(pa.uint8())),
)


def some_columns(random: Random) -> list[int]:
    return random.sample(range(1, 1 + len(PIXEL_COLUMNS)), random.choice((1, 1, 2, 30)))


def rename_column(table: pa.Table, random: Random) -> pa.Table:
    names, place = table.column_names, random.choice((0, *some_columns(random)))
    name = names[place]
    new = (f" {name}", f"0{name}", f"{name}.0", name.upper(), "", "1", "image_id", "x" * 100_000, "\x1b[2J", "٣")
    names[place] = random.choice(new)
    return table.rename_columns(names)


def shuffle_columns(table: pa.Table, random: Random) -> pa.Table:
    order = random.choice((range(2, 33_000), random.sample(range(2, table.num_columns), table.num_columns - 2)))
    return table.select([1, 0, *(column for column in order if column < table.num_columns)])


def swap_pixels(table: pa.Table, random: Random) -> pa.Table:
    """Swap the values of two columns: the shard is valid and shows other images."""
    one, other = some_columns(random)[0], some_columns(random)[0]
    columns = table.columns
    columns[one], columns[other] = columns[other], columns[one]
    return pa.table(columns, names=table.column_names)


def change_types(table: pa.Table, random: Random) -> pa.Table:
    kind = random.choice(TYPES)
    for column in random.choice(([0], some_columns(random))):
        try:
            array = table.column(column).cast(kind, safe=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            array = pa.nulls(len(table), kind)
        table = table.set_column(column, table.column_names[column], array)
    return table


def lose_values(table: pa.Table, random: Random) -> pa.Table:
    column = random.choice((0, *some_columns(random)))
    values = table.column(column).to_pylist()
    values[random.randrange(len(values))] = None
    return table.set_column(column, table.field(column), pa.array(values, table.field(column).type))


def change_ids(table: pa.Table, random: Random) -> pa.Table:
    ids = table["image_id"].to_pylist()
    for row in random.sample(range(len(ids)), random.choice((1, 1, 3))):
        ids[row] = random.choice(STRANGE_IDS)
    return table.set_column(0, "image_id", pa.array(ids))


CHANGES: tuple[Callable[[pa.Table, Random], pa.Table], ...] = (
    *(rename_column, shuffle_columns, swap_pixels, change_types, lose_values, change_ids),
    lambda table, _: table,
    lambda table, random: table.slice(random.randrange(len(table) + 1), random.randrange(len(table))),
    lambda table, random: table.take([*range(len(table)), random.randrange(len(table))]),
    lambda table, random: table.take(random.sample(range(len(table)), len(table))),
)
PARQUET_OPTIONS: dict[str, tuple[Any, ...]] = {
    "row_group_size": (None, 1, 2),
    "compression": ("none", "snappy", "gzip", "zstd", "lz4", "brotli"),
    **dict.fromkeys(("use_dictionary", "write_statistics", "write_page_checksum", "store_schema"), (False, True)),
    "version": ("1.0", "2.4", "2.6"),
    "data_page_version": ("1.0", "2.0"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two whole shards. Tests write the first one anew."""
    root = tmp_path_factory.mktemp("root")
    for name, numbers in zip(SHARDS, NUMBERS, strict=True):
        write_shard(shard_table("Train", numbers), root / name)
    return root


@pytest.mark.parametrize("seed", range(2 * len(CHANGES)))
def test_a_changed_shard_is_read_as_written_or_refused_by_its_name(root: Path, seed: int) -> None:
    random = Random(seed)
    table = CHANGES[seed % len(CHANGES)](shard_table("Train", NUMBERS[0]), random)
    options = {name: random.choice(values) for name, values in PARQUET_OPTIONS.items()}
    pq.write_table(table, root / SHARDS[0], **options)
    ids = [f"Train_{number}" for number in range(6)]
    if "image_id" in table.column_names and random.random() < 0.5:
        ids = sorted({*ids[4:], *map(str, table["image_id"].to_pylist())})  # train.csv lists the images of the shard
    try:
        shards = open_shards(root, "train")
        check_same_images(root, "train", np.array(ids, dtype=object), shards)
        images = dict(
            image for shard in shards for block in read_images(shard, root) for image in zip(*block, strict=True)
        )
    except InputError as error:
        check_error(error, r"train_image_data_|train\.csv")
        return
    assert sorted(images) == sorted(ids)
    for name in SHARDS:
        for row in pq.read_table(root / name, use_threads=False).to_pylist():  # threads hold 18 GB of four rows
            assert images[row["image_id"]].ravel().tolist() == [row[pixel] for pixel in PIXEL_COLUMNS]


@pytest.mark.parametrize("seed", range(14))
def test_damaged_bytes_of_a_shard_are_refused_by_its_name_or_change_pixels_alone(
    competition: Path, tmp_path: Path, seed: int
) -> None:
    """Kaggle's files have no checksums, so a shard with a changed pixel is read."""
    path = tmp_path / SHARDS[0]
    damage_file(path, (competition / path.name).read_bytes(), seed)
    try:
        blocks = list(read_images(open_shard(path), tmp_path))
        assert [len(ids) for ids, _ in blocks] == [len(images) for _, images in blocks] == [12]
    except InputError as error:
        check_error(error, path.name)


def test_a_very_long_id_is_refused_before_numpy_gives_each_id_as_much_room(tmp_path: Path) -> None:
    table = shard_table("Train", range(3))
    write_shard(table.set_column(0, "image_id", pa.array(["a", "b", "x" * 5_000_000])), tmp_path / SHARDS[0])
    with pytest.raises(InputError, match=r"train_image_data_0\.parquet: image_id of row 3 is 'x{40}"):
        open_shards(tmp_path, "train")


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to(path)], ids=["folder", "circular link"])
def test_a_folder_or_a_circular_link_instead_of_a_shard_is_refused_by_name(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / SHARDS[0])
    with pytest.raises(InputError, match=r"train_image_data_0\.parquet"):
        open_shards(tmp_path, "train")


def test_a_shard_that_is_replaced_after_it_was_opened_is_refused(tmp_path: Path) -> None:
    path = tmp_path / SHARDS[0]
    write_shard(shard_table("Train", range(4)), path)
    shard = open_shard(path)
    write_shard(shard_table("Train", range(2)), path)
    with pytest.raises(InputError, match=r"train_image_data_0\.parquet.*2 images.*4"):
        list(read_images(shard, tmp_path))
