"""A small folder in Kaggle's format, whole or damaged, and what tests of several modules do with it.

Image k of it has k painted into its pixels (paint_number), so that a test can tell which image it sees, whatever the
order of the rows. train.csv and test.csv list the images in another order than the shards.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import ImageFont, features

from okkhor.config_rendering import HandConfig
from okkhor.data.shards import Shard
from okkhor.predictions import Predictions
from okkhor.rendering.fonts import Face
from okkhor.schema import HEAD_NAMES, HEADS, IMAGE_HEIGHT, IMAGE_WIDTH, NUM_PIXELS, SUBMISSION_ORDER

PIXEL_COLUMNS = [str(pixel) for pixel in range(NUM_PIXELS)]


GRAPHEMES = ["ক", "কি", "ক্র", "খ", "খা", "গ্যু"]


TRIPLES = [(0, 0, 0), (0, 2, 0), (0, 0, 5), (2, 0, 0), (2, 1, 0), (3, 4, 4)]  # root, vowel, consonant of each


NUM_TRAIN, NUM_TEST = 24, 4  # images, in two shards each


ROWS, COLUMNS = 2, 4  # of the cells that show an image's number in binary


DARK, PAPER = 20, 250  # gray values


def pillow_font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """Pillow's font, at `size` pixels per em, which has a HarfBuzz of its own and FreeType."""
    if not features.check("raqm"):
        pytest.skip("no FriBiDi here, by which Pillow shapes")
    font = ImageFont.truetype(face.path, size, layout_engine=ImageFont.Layout.RAQM)
    if face.axes:
        font.set_variation_by_axes(list(face.axes))
    return font


def random_images(number: int = 2, size: int = 64, seed: int = 0) -> torch.Tensor:
    """(number, 1, size, size) uint8."""
    return torch.randint(0, 256, (number, 1, size, size), dtype=torch.uint8, generator=torch.manual_seed(seed))


def paint_number(number: int) -> NDArray[np.uint8]:
    """(137, 236) uint8: number + 1 in binary, a dark cell for each 1, on white paper. number: 0 to 254."""
    image = np.full((IMAGE_HEIGHT, IMAGE_WIDTH), PAPER, np.uint8)
    for bit, (top, left) in enumerate(np.ndindex(ROWS, COLUMNS)):
        if (number + 1) >> bit & 1:
            rows = slice(top * IMAGE_HEIGHT // ROWS, (top + 1) * IMAGE_HEIGHT // ROWS)
            columns = slice(left * IMAGE_WIDTH // COLUMNS, (left + 1) * IMAGE_WIDTH // COLUMNS)
            image[rows, columns] = DARK
    return image


def read_number(image: NDArray[np.uint8]) -> int:
    """The number in a prepared image (bright ink on 0), of any size."""
    height, width = image.shape
    bits = 0
    for bit, (top, left) in enumerate(np.ndindex(ROWS, COLUMNS)):
        ink = image[(2 * top + 1) * height // (2 * ROWS), (2 * left + 1) * width // (2 * COLUMNS)]
        bits |= int(ink > 127) << bit
    return bits - 1


def number_of(image_id: str) -> int:
    return int(image_id.rpartition("_")[2])


def shard_table(split: str, numbers: Sequence[int]) -> pa.Table:
    """What a shard with the images of these numbers holds."""
    pixels = np.stack([paint_number(number) for number in numbers]).reshape(len(numbers), NUM_PIXELS).T
    image_ids = pa.array([f"{split}_{number}" for number in numbers], pa.string())
    return pa.table([image_ids, *map(pa.array, np.ascontiguousarray(pixels))], names=["image_id", *PIXEL_COLUMNS])


def write_shard(table: pa.Table, path: Path, rows_per_group: int | None = None) -> None:
    # without dictionary and statistics, which would take half of the time
    pq.write_table(table, path, rows_per_group, use_dictionary=False, write_statistics=False)


def write_schema(schema: pa.Schema, path: Path) -> None:
    """A parquet file with no row: a hundred times as fast as one with a few."""
    pq.ParquetWriter(path, schema).close()


def write_competition(root: Path) -> None:
    random = np.random.default_rng(7)
    for split, number in (("train", NUM_TRAIN), ("test", NUM_TEST)):
        for shard, numbers in enumerate(np.split(np.arange(number), 2)):
            write_shard(shard_table(split.capitalize(), numbers.tolist()), root / f"{split}_image_data_{shard}.parquet")
    train = pd.DataFrame(
        [
            (f"Train_{k}", *TRIPLES[k % len(GRAPHEMES)], GRAPHEMES[k % len(GRAPHEMES)])
            for k in random.permutation(NUM_TRAIN).tolist()
        ],
        columns=["image_id", *(head.name for head in HEADS), "grapheme"],
    )
    test = pd.DataFrame(
        [(f"Test_{k}_{name}", f"Test_{k}", name) for k in (2, 0, 3, 1) for name in SUBMISSION_ORDER],
        columns=["row_id", "image_id", "component"],
    )
    class_map = pd.DataFrame(
        [(head.name, label, f"<{head.name} {label}>") for head in HEADS for label in range(head.num_classes)],
        columns=["component_type", "label", "component"],
    )
    submission = pd.DataFrame({"row_id": test["row_id"], "target": 0})
    tables = {"train": train, "test": test, "class_map": class_map, "sample_submission": submission}
    for name, table in tables.items():
        table.to_csv(root / f"{name}.csv", index=False)


def make_predictions(image_ids: list[str], seed: int = 0, labelled: bool = True) -> Predictions:
    random = np.random.default_rng(seed)
    probabilities = {
        head.name: random.dirichlet(np.ones(head.num_classes), len(image_ids)).astype(np.float32) for head in HEADS
    }
    labels = {head.name: random.integers(0, head.num_classes, len(image_ids)) for head in HEADS} if labelled else None
    return Predictions(np.array(image_ids), probabilities, labels)


def assert_same(one: Predictions, other: Predictions) -> None:
    assert one.image_ids.tolist() == other.image_ids.tolist()
    for part in ("probabilities", "labels", "marginals"):
        ours, theirs = getattr(one, part), getattr(other, part)
        assert (ours is None) == (theirs is None), part
        for name in HEAD_NAMES if ours is not None else ():
            np.testing.assert_array_equal(ours[name], theirs[name])
    np.testing.assert_equal(one.unseen, other.unseen)


SMALL = 32  # pixels: the size of small_cache


Blocks = Iterator[tuple[NDArray[np.str_], NDArray[np.uint8]]]


def paint_blocks(shard: Shard, scratch: Path) -> Blocks:  # noqa: ARG001
    """What read_images gives, in two blocks, without the seconds that 32,332 columns take."""
    for part in np.array_split(shard.image_ids, 2):
        yield part, np.stack([paint_number(number_of(image_id)) for image_id in part])


Damage = Callable[..., Path]


Refused = Callable[..., str]


CALM = {
    **{field.name: 0.0 for field in fields(HandConfig) if field.name != "unsteadiness"},
    **{"size": 60.0, "pen": 4.0, "paper": 255.0, "aspect": 1.0, "ascent": 1.0, "descent": 1.0},
    **{"roundness": 0.05, "softness": 0.1},  # 0 would be another smoothing to OpenCV
}
"""The habits of a hand that writes what the font shows, 60 pixels high, black on white."""
