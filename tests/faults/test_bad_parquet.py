"""Shards that went wrong in their columns, types, rows and ids are read as they stand, or refused by their name.

The images are of 6 x 10 pixels here: a shard then takes a millisecond instead of a second.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import STRANGE_CELLS
from hypothesis import given
from hypothesis import strategies as st
from tries import check_error, property_settings, record

from okkhor.data import shards as module
from okkhor.data.competition import check_same_images
from okkhor.data.shards import open_shards, read_images
from okkhor.errors import InputError

HEIGHT, WIDTH = 6, 10
PIXELS = [str(pixel) for pixel in range(HEIGHT * WIDTH)]
NUM_IMAGES = 5  # in each of two shards
LISTED = [f"Train_{number}" for number in range(2 * NUM_IMAGES)]
SHARD = "train_image_data_0.parquet"


@pytest.fixture(scope="module", autouse=True)
def _small_images() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIXEL_COLUMNS", PIXELS)
        patch.setattr(module, "EXPECTED_COLUMNS", ["image_id", *PIXELS])
        patch.setattr(module, "NUM_PIXELS", len(PIXELS))
        patch.setattr(module, "IMAGE_HEIGHT", HEIGHT)
        patch.setattr(module, "IMAGE_WIDTH", WIDTH)
        patch.setattr(module, "COLUMNS_PER_BLOCK", 16)
        yield


def make_table(first: int) -> pa.Table:
    pixels = np.random.default_rng(first).integers(0, 256, (NUM_IMAGES, len(PIXELS)), np.uint8)
    columns = [pa.array(LISTED[first : first + NUM_IMAGES]), *map(pa.array, np.ascontiguousarray(pixels.T))]
    return pa.table(columns, names=["image_id", *PIXELS])


WHOLE = [make_table(0), make_table(NUM_IMAGES)]

Change = Callable[[pa.Table, Random], pa.Table]


def some_columns(random: Random) -> list[int]:
    return random.sample(range(1, 1 + len(PIXELS)), random.choice((1, 1, 2, 30)))


def drop_columns(table: pa.Table, random: Random) -> pa.Table:
    chosen = random.choice(([0], some_columns(random)))
    return table.drop_columns([table.column_names[column] for column in chosen])


def rename_a_column(table: pa.Table, random: Random) -> pa.Table:
    names, place = table.column_names, random.choice((0, *some_columns(random)))
    name = names[place]
    new = (f" {name}", f"0{name}", f"{name}.0", name.upper(), "", "1", "image_id", "60", "x" * 100_000, "\x1b[2J", "٣")
    names[place] = random.choice(new)
    return table.rename_columns(names)


def repeat_a_column(table: pa.Table, random: Random) -> pa.Table:
    column = random.randrange(table.num_columns)
    place = random.randrange(table.num_columns + 1)
    return table.add_column(place, table.field(column), table.column(column))


def add_a_column(table: pa.Table, random: Random) -> pa.Table:
    name = random.choice(("", "label", "__index_level_0__", "60", "-1", "Unnamed: 0"))
    return table.add_column(random.randrange(table.num_columns + 1), name, pa.array(range(len(table))))


def shuffle_columns(table: pa.Table, random: Random) -> pa.Table:
    order = random.sample(range(table.num_columns), table.num_columns)
    return random.choice((table.select(order), table.select([1, 0, *range(2, table.num_columns)])))


def swap_names(table: pa.Table, random: Random) -> pa.Table:
    """Nobody can see that: it is another image, and read as it stands."""
    names = table.column_names
    one, other = random.sample(range(1, table.num_columns), 2)
    columns = table.columns
    columns[one], columns[other] = columns[other], columns[one]
    return pa.table(columns, names=names)


TYPES = (
    *(pa.int8(), pa.int16(), pa.int64(), pa.uint16(), pa.float16(), pa.float32(), pa.float64(), pa.bool_()),
    *(pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int8(), pa.uint8()), pa.null()),
    *(pa.decimal128(5, 1), pa.timestamp("s"), pa.date32(), pa.list_(pa.uint8()), pa.struct([("a", pa.uint8())])),
)


def change_types(table: pa.Table, random: Random) -> pa.Table:
    kind = random.choice(TYPES)
    for column in random.choice(([0], some_columns(random), range(1, table.num_columns))):
        values = table.column(column).to_pylist()
        try:
            array = pa.array(values, pa.uint8() if column else pa.string()).cast(kind, safe=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # of so many values, the type alone is left
            array = pa.nulls(len(values), kind)
        table = table.set_column(column, table.column_names[column], array)
    return table


def lose_values(table: pa.Table, random: Random) -> pa.Table:
    column = random.choice((0, *some_columns(random)))
    values = table.column(column).to_pylist()
    for row in random.sample(range(len(values)), random.choice((1, len(values)))):
        values[row] = None
    return table.set_column(column, table.field(column), pa.array(values, table.field(column).type))


def drop_rows(table: pa.Table, random: Random) -> pa.Table:
    return table.slice(random.randrange(len(table) + 1), random.randrange(len(table)))


def repeat_rows(table: pa.Table, random: Random) -> pa.Table:
    return table.take([*range(len(table)), *(random.randrange(len(table)) for _ in range(random.choice((1, 7))))])


def shuffle_rows(table: pa.Table, random: Random) -> pa.Table:
    return table.take(random.sample(range(len(table)), len(table)))


STRANGE_IDS = (*STRANGE_CELLS, "../" * 60, "x" * 5_000_000, "Train_0\0", "Train_0 ", "TRAIN_0", "Train_00", "Train_5")


def change_ids(table: pa.Table, random: Random) -> pa.Table:
    ids = table["image_id"].to_pylist()
    for row in random.sample(range(len(ids)), random.choice((1, 1, 3))):
        ids[row] = random.choice(STRANGE_IDS)
    return table.set_column(0, "image_id", pa.array(ids))


def keep(table: pa.Table, _random: Random) -> pa.Table:
    return table


CHANGES = (
    *(drop_columns, rename_a_column, repeat_a_column, add_a_column, shuffle_columns, swap_names, change_types),
    *(lose_values, drop_rows, repeat_rows, shuffle_rows, change_ids, keep),
)


def write(table: pa.Table, path: Path, random: Random) -> None:
    """In one of the many ways in which parquet can be written."""
    pq.write_table(
        table,
        path,
        row_group_size=random.choice((None, 1, 2)),
        compression=random.choice(("none", "snappy", "gzip", "zstd", "lz4", "brotli")),
        use_dictionary=random.choice((False, True)),
        write_statistics=random.choice((False, True)),
        version=random.choice(("1.0", "2.4", "2.6")),
        data_page_version=random.choice(("1.0", "2.0")),
        data_page_size=random.choice((1, 10**6)),
        write_page_checksum=random.choice((False, True)),
        store_schema=random.choice((False, True)),
    )


def read_all(root: Path, listed: list[str]) -> dict[str, np.ndarray]:
    """What the pipeline reads of a folder whose train.csv lists these images."""
    found = open_shards(root, "train")
    check_same_images(root, "train", np.array(listed, dtype=object), found)
    images: dict[str, np.ndarray] = {}
    for shard in found:
        for image_ids, pixels in read_images(shard, root / "scratch"):
            images |= dict(zip(image_ids.tolist(), pixels, strict=True))
    return images


def read_otherwise(paths: list[Path]) -> dict[str, list[int]]:
    """Row by row, by the columns' names."""
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    assert len({row["image_id"] for row in rows}) == len(rows)
    return {row["image_id"]: [row[name] for name in PIXELS] for row in rows}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@given(changes=st.lists(st.sampled_from(CHANGES), min_size=1, max_size=2), random=st.integers(0, 2**32).map(Random))
@property_settings(150, 20_000)
def test_a_shard_is_read_as_it_stands_or_refused_by_name(root: Path, changes: list[Change], random: Random) -> None:
    table, paths = WHOLE[0], [root / f"train_image_data_{number}.parquet" for number in range(2)]
    try:
        for change in changes:
            table = change(table, random)
        write(table, paths[0], random)
    except (pa.ArrowException, IndexError, ValueError, KeyError, OverflowError):  # the second does not fit the first
        return
    write(WHOLE[1], paths[1], random)
    ids = table["image_id"].to_pylist() if table.column_names.count("image_id") == 1 else []
    listed = random.choice((LISTED, sorted({*LISTED[NUM_IMAGES:], *map(str, ids)})))
    kind = "shard: " + " and ".join(sorted({change.__name__ for change in changes}))[:52]
    try:
        found = read_all(root, listed)
    except InputError as error:
        record(kind, "refused")
        text = check_error(error)
        assert "train_image_data_" in text or "train.csv" in text, text
        return
    record(kind, "read")
    assert {name: image.ravel().tolist() for name, image in found.items()} == read_otherwise(paths)
    assert sorted(found) == sorted(listed)


def test_an_id_of_any_length_takes_no_more_memory_than_it_has(root: Path) -> None:
    """numpy gives each text as much room as the longest has: 50,210 ids beside one of 5 MB would take 1 TB."""
    ids = [*(f"Train_{number}" for number in range(50_209)), "x" * 5_000_000]
    blank = pa.array(np.zeros(len(ids), np.uint8))
    pq.write_table(pa.table([pa.array(ids), *[blank] * len(PIXELS)], names=["image_id", *PIXELS]), root / SHARD)
    with pytest.raises(InputError, match=r"train_image_data_0\.parquet: image_id of row 50210 is 'x{40}'"):
        open_shards(root, "train")


@pytest.mark.parametrize("place", ["a folder of parts", "one folder deeper", "a link to itself", "a csv file"])
def test_what_is_no_file_of_parquet_in_its_place_is_refused_by_name(tmp_path: Path, place: str) -> None:
    path = tmp_path / SHARD
    match place:
        case "a folder of parts":
            path.mkdir()
            pq.write_table(WHOLE[0], path / "part-0.parquet")
        case "one folder deeper":
            (tmp_path / "nested").mkdir()
            pq.write_table(WHOLE[0], tmp_path / "nested" / SHARD)
        case "a link to itself":
            path.symlink_to(path)
        case _:
            path.write_text("image_id,0,1\nTrain_0,1,2\n")
    with pytest.raises(InputError, match=r"train_image_data_0\.parquet") as caught:
        open_shards(tmp_path, "train")
    check_error(caught.value)


def test_a_shard_that_is_replaced_while_it_is_read_is_refused(tmp_path: Path) -> None:
    write(WHOLE[0], tmp_path / SHARD, Random(0))
    (shard,) = open_shards(tmp_path, "train")
    write(WHOLE[0].slice(0, 3), tmp_path / SHARD, Random(0))
    with pytest.raises(InputError, match=r"train_image_data_0\.parquet.*3 images.*5"):
        list(read_images(shard, tmp_path))
