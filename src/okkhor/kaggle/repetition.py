"""The test files repeated under new ids, as many as the hidden ones may be."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from okkhor.data.competition import TestSet
from okkhor.data.shards import read_images
from okkhor.rendering.competition_format import (
    ROWS_PER_GROUP,
    image_id,
    make_table,
    open_writer,
    shard_ranges,
    write_csv,
)
from okkhor.schema import NUM_PIXELS, SUBMISSION_ORDER


def write_repeated(test: TestSet, num_copies: int, num_shards: int, folder: Path) -> NDArray[np.str_]:
    """test.csv and shards with each image num_copies times: Test_0 and so on, in the competition's order.

    Returns the image_ids (N,) of the images as they follow each other in each of the copies.
    """
    folder.mkdir(parents=True)
    blocks = [(ids, block) for shard in test.shards for ids, block in read_images(shard, folder)]
    image_ids = np.concatenate([ids for ids, _ in blocks])
    pixels = np.concatenate([block.reshape(-1, NUM_PIXELS) for _, block in blocks])
    num_images = len(pixels) * num_copies
    for shard, numbers in enumerate(shard_ranges(num_images, min(num_shards, num_images))):
        with open_writer(folder / f"test_image_data_{shard}.parquet") as writer:
            for table in make_tables(pixels, numbers):
                writer.write_table(table)
    names = [image_id("test", number) for number in range(num_images)]
    rows = [(f"{name}_{head}", name, head) for name in names for head in SUBMISSION_ORDER]
    write_csv(folder / "test.csv", rows, ["row_id", "image_id", "component"])
    return image_ids


def make_tables(pixels: NDArray[np.uint8], numbers: range) -> Iterator[pa.Table]:
    """The images of these numbers, a row group at a time. pixels: (N, NUM_PIXELS) uint8; image N is image 0 again."""
    for start in range(numbers.start, numbers.stop, ROWS_PER_GROUP):
        rows = range(start, min(start + ROWS_PER_GROUP, numbers.stop))
        columns = np.ascontiguousarray(pixels[np.array(rows) % len(pixels)].T)
        yield make_table(columns, "test", rows)


def repeat_targets(submission: pd.DataFrame, test: TestSet, image_ids: NDArray[np.str_], num_copies: int) -> pd.Series:
    """What a submission for the repeated files should say, by one for the plain files."""
    answers = submission.assign(image_id=test.table["image_id"], component=test.table["component"])
    by_image = answers.pivot(index="image_id", columns="component", values="target")
    targets = by_image.loc[image_ids, list(SUBMISSION_ORDER)].to_numpy().ravel()
    return pd.Series(np.tile(targets, num_copies))
