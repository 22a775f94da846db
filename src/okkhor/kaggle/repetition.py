"""`write_repeated`: the test files with each image many times, so that there are as many as in the hidden test."""

from pathlib import Path

import numpy as np
import pandas as pd

from okkhor.data.competition import TestSet
from okkhor.data.shards import read_images
from okkhor.rendering.competition_format import image_id, shard_ranges, write_csv, write_shard
from okkhor.schema import SUBMISSION_ORDER


def write_repeated(test: TestSet, num_copies: int, num_shards: int, folder: Path) -> None:
    """Write test.csv and shards in the competition's order: of N images, Test_<k> is image k % N of the shards."""
    folder.mkdir(parents=True)
    pixels = np.concatenate([block for shard in test.shards for _, block in read_images(shard, folder)])
    num_images = len(pixels) * num_copies
    for shard, numbers in enumerate(shard_ranges(num_images, min(num_shards, num_images))):
        write_shard(pixels, "test", numbers, folder / f"test_image_data_{shard}.parquet")
    names = [image_id("test", number) for number in range(num_images)]
    rows_of_test = [(f"{name}_{head}", name, head) for name in names for head in SUBMISSION_ORDER]
    write_csv(folder / "test.csv", rows_of_test, ["row_id", "image_id", "component"])


def repeat_targets(submission: pd.DataFrame, test: TestSet, num_copies: int) -> pd.Series:
    """The targets expected for the repeated files, from a submission for the plain files."""
    answers = submission.assign(image_id=test.table["image_id"], component=test.table["component"])
    by_image = answers.pivot(index="image_id", columns="component", values="target")
    image_ids = np.concatenate([shard.image_ids for shard in test.shards])
    targets = by_image.loc[image_ids, list(SUBMISSION_ORDER)].to_numpy().ravel()
    return pd.Series(np.tile(targets, num_copies))
