"""A rendered sample in Kaggle's layout: `write_shard` for the parquet files, `write_tables` for the csv files."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from okkhor.rendering.graphemes import CLASS_MAP_FILE, package_text
from okkhor.rendering.plan import Plan
from okkhor.schema import HEAD_NAMES, NUM_PIXELS, SUBMISSION_ORDER

ROWS_PER_GROUP = 4096  # images: 132 MB of pixels, twice in memory at a time; each group costs 2 s, however small
SCHEMA = pa.schema([("image_id", pa.string()), *((str(pixel), pa.uint8()) for pixel in range(NUM_PIXELS))])


def write_shard(pixels: Path | NDArray[np.uint8], split: str, numbers: range, path: Path) -> None:
    """Write a parquet file of images: image k of `numbers` is image k % N of pixels.

    pixels: (N, IMAGE_HEIGHT, IMAGE_WIDTH) uint8, or the .npy file that holds them.

    Parquet stores uint8 as 32-bit integers, which this encoding splits into bytes. 4,096 images (132 MB) become 67 MB
    in 4.0 s; with a dictionary instead 82 MB in 6.2 s; in Kaggle's way (snappy and a dictionary) 121 MB in 4.0 s.
    """
    images = (np.load(pixels, mmap_mode="r") if isinstance(pixels, Path) else pixels).reshape(-1, NUM_PIXELS)
    layout = {"compression": "zstd", "compression_level": 1, "use_dictionary": False, "write_statistics": False}
    encoding = {"use_byte_stream_split": SCHEMA.names[1:], "write_page_checksum": True}
    with pq.ParquetWriter(path, SCHEMA, **encoding, **layout) as writer:
        for start in range(numbers.start, numbers.stop, ROWS_PER_GROUP):
            rows = np.arange(start, min(start + ROWS_PER_GROUP, numbers.stop))
            columns = np.asarray(cv2.transpose(images[rows % len(images)]), np.uint8)  # 10 times as fast as numpy's
            ids = pa.array([image_id(split, number) for number in rows.tolist()], pa.string())
            writer.write_table(pa.table([ids, *map(pa.array, columns)], schema=SCHEMA))


def image_id(split: str, number: int) -> str:
    """Return Kaggle's name of an image: Train_0, Test_0."""
    return f"{split.capitalize()}_{number}"


def shard_ranges(num_images: int, num_shards: int) -> list[range]:
    """Return the numbers of the images of each shard; the shards differ by one image at most."""
    edges = [num_images * shard // num_shards for shard in range(num_shards + 1)]
    return [range(start, stop) for start, stop in pairwise(edges)]


def write_tables(folder: Path, plan: Plan) -> None:
    """Write class_map.csv, train.csv, test.csv, sample_submission.csv and solution.csv.

    train.csv has one column more than Kaggle's, for folds.group=writer: `writer`, the number of the hand, from 0 in the
    order of the hands' first images.
    """
    (folder / CLASS_MAP_FILE).write_text(package_text(CLASS_MAP_FILE), encoding="utf-8")
    writers: dict[int, int] = {}  # by id(): a Hand has arrays, so it can't be a key
    train = []
    for item in plan["train"]:
        writer = writers.setdefault(id(item.hand), len(writers))
        train.append((image_id("train", item.number), *item.grapheme.labels, item.grapheme.text, writer))
    write_csv(folder / "train.csv", train, ["image_id", *HEAD_NAMES, "grapheme", "writer"])
    rows = [
        (f"{image_id('test', item.number)}_{head}", item, head) for item in plan["test"] for head in SUBMISSION_ORDER
    ]
    test = [(row_id, image_id("test", item.number), head) for row_id, item, head in rows]
    write_csv(folder / "test.csv", test, ["row_id", "image_id", "component"])
    write_csv(folder / "sample_submission.csv", [(row_id, 0) for row_id, _, _ in rows], ["row_id", "target"])
    solution = [(row_id, item.grapheme.labels[HEAD_NAMES.index(head)], item.usage) for row_id, item, head in rows]
    write_csv(folder / "solution.csv", solution, ["row_id", "target", "usage"])


def write_csv(path: Path, rows: Sequence[tuple[object, ...]], columns: list[str]) -> None:
    """Write a csv with a header and Unix line ends."""
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False, lineterminator="\n")
