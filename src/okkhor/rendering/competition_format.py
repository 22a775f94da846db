"""Images into a file of raw pixels, in any order, and from there into parquet files in Kaggle's layout."""

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from okkhor.rendering.graphemes import CLASS_MAP_FILE, package_text
from okkhor.rendering.plan import Plan
from okkhor.schema import HEAD_NAMES, NUM_PIXELS, SUBMISSION_ORDER

ROWS_PER_GROUP = 4096  # images: 132 MB of pixels are in memory at a time; each group costs 2 s, however small
ROWS_PER_BLOCK = 512  # images turned from rows to columns at a time
SCHEMA = pa.schema([("image_id", pa.string()), *((str(pixel), pa.uint8()) for pixel in range(NUM_PIXELS))])


def put_image(file: int, number: int, image: NDArray[np.uint8]) -> None:
    """Write an image at its place in a file of raw pixels; several processes may do so at once."""
    data, place = image.tobytes(), number * NUM_PIXELS
    while data:  # a disk that is nearly full takes a part, and refuses the rest with an error
        written = os.pwrite(file, data, place)
        data, place = data[written:], place + written


def write_shard(pixels: Path, split: str, numbers: range, path: Path) -> None:
    """A parquet file with image_id and 32,332 uint8 columns of the images `numbers` of a file of raw pixels."""
    with open_writer(path) as writer:
        for start in range(numbers.start, numbers.stop, ROWS_PER_GROUP):
            rows = range(start, min(start + ROWS_PER_GROUP, numbers.stop))
            writer.write_table(make_table(read_columns(pixels, rows), split, rows))


def open_writer(path: Path) -> pq.ParquetWriter:
    # Parquet keeps uint8 as 32-bit integers, which this encoding takes apart into bytes. 4,096 images, 132 MB: 67 MB in
    # 4.0 s; with a dictionary instead 82 MB in 6.2 s, Kaggle's own way (snappy and a dictionary) 121 MB in 4.0 s.
    layout = {"compression": "zstd", "compression_level": 1, "use_dictionary": False, "write_statistics": False}
    layout["write_page_checksum"] = True
    return pq.ParquetWriter(path, SCHEMA, use_byte_stream_split=SCHEMA.names[1:], **layout)


def read_columns(pixels: Path, rows: range) -> NDArray[np.uint8]:
    """(NUM_PIXELS, n) uint8: the images `rows` of a file of raw pixels, an image a column."""
    columns = np.empty((NUM_PIXELS, len(rows)), np.uint8)
    for start in range(0, len(rows), ROWS_PER_BLOCK):
        num_rows = min(ROWS_PER_BLOCK, len(rows) - start)
        block = np.fromfile(pixels, np.uint8, num_rows * NUM_PIXELS, offset=(rows.start + start) * NUM_PIXELS)
        columns[:, start : start + num_rows] = block.reshape(num_rows, NUM_PIXELS).T
    return columns


def make_table(columns: NDArray[np.uint8], split: str, numbers: range) -> pa.Table:
    """Images, one a column, as a table in Kaggle's layout. numbers: which they are, for their image_ids."""
    ids = pa.array([image_id(split, number) for number in numbers], pa.string())
    return pa.table([ids, *(pa.array(column) for column in columns)], schema=SCHEMA)


def image_id(split: str, number: int) -> str:
    """Kaggle's name of an image: Train_0, Test_0."""
    return f"{split.capitalize()}_{number}"


def shard_ranges(num_images: int, num_shards: int) -> list[range]:
    """The numbers of the images of each shard; the shards differ by one image at most."""
    edges = [num_images * shard // num_shards for shard in range(num_shards + 1)]
    return [range(start, stop) for start, stop in pairwise(edges)]


def write_tables(folder: Path, plan: Plan) -> None:
    """class_map.csv, train.csv, test.csv, sample_submission.csv and solution.csv.

    train.csv has a column more than Kaggle's: `writer`, the number of the hand, from 0 in the order of their first
    images, so that folds.group=writer can split by it.
    """
    (folder / CLASS_MAP_FILE).write_text(package_text(CLASS_MAP_FILE), encoding="utf-8")
    hands: dict[int, int] = {}  # by id(): a Writer holds arrays, so it can't be a key
    train = [
        (
            image_id("train", item.number),
            *item.grapheme.labels,
            item.grapheme.text,
            hands.setdefault(id(item.writer), len(hands)),
        )
        for item in plan.train
    ]
    write_csv(folder / "train.csv", train, ["image_id", *HEAD_NAMES, "grapheme", "writer"])
    rows = [(f"{image_id('test', item.number)}_{head}", item, head) for item in plan.test for head in SUBMISSION_ORDER]
    test = [(name, image_id("test", item.number), head) for name, item, head in rows]
    write_csv(folder / "test.csv", test, ["row_id", "image_id", "component"])
    write_csv(folder / "sample_submission.csv", [(name, 0) for name, _, _ in rows], ["row_id", "target"])
    solution = [(name, item.grapheme.labels[HEAD_NAMES.index(head)], item.usage) for name, item, head in rows]
    write_csv(folder / "solution.csv", solution, ["row_id", "target", "usage"])


def write_csv(path: Path, rows: Sequence[tuple[object, ...]], columns: list[str]) -> None:
    """A csv with a header and Unix line ends."""
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False, lineterminator="\n")
