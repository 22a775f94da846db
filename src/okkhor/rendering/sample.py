"""`write_sample` renders a folder in the competition's own format, which appears whole or not at all."""

import json
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from okkhor.config_rendering import HandConfig, SampleConfig
from okkhor.errors import InputError
from okkhor.files import allocate_images, holding, replacing_folder
from okkhor.rendering.drawing import IMAGES_PER_TASK, draw_grapheme, start_workers
from okkhor.rendering.graphemes import CLASS_MAP_FILE, package_text
from okkhor.rendering.plan import SPLITS, Item, Plan, plan_sample
from okkhor.schema import HEAD_NAMES, IMAGE_HEIGHT, IMAGE_WIDTH, NUM_PIXELS, SUBMISSION_ORDER

FORMAT_VERSION = 5  # of the pixels: raised whenever the same settings give other images
SETTINGS_FILE = "sample.json"
FREE_SETTINGS = ("root", "processes")  # settings that don't change a pixel
ROWS_PER_GROUP = 4096  # images: 132 MB of pixels, twice in memory at a time; each group costs 2 s, however small
SCHEMA = pa.schema([("image_id", pa.string()), *((str(pixel), pa.uint8()) for pixel in range(NUM_PIXELS))])


def settings_text(sample: SampleConfig, hand: HandConfig) -> str:
    """Return the content of sample.json: all settings that change a pixel."""
    settings = {name: value for name, value in asdict(sample).items() if name not in FREE_SETTINGS}
    return json.dumps({"format_version": FORMAT_VERSION, **settings, "hand": asdict(hand)}, indent=2) + "\n"


def sample_matches(sample: SampleConfig, hand: HandConfig) -> bool:
    """Return whether the folder sample.root was rendered with these very settings."""
    path = Path(sample.root) / SETTINGS_FILE
    return path.is_file() and path.read_bytes() == settings_text(sample, hand).encode()


def write_sample(sample: SampleConfig, hand: HandConfig) -> None:
    """Render the sample into the folder sample.root; nothing is done if its settings match.

    Raises InputError if the folder holds anything else, and for settings that make no sample.
    """
    if sample_matches(sample, hand):  # before the lock: the folder may be read-only
        return
    root = Path(sample.root)
    root.parent.mkdir(parents=True, exist_ok=True)
    with holding(root.parent / f".{root.name}.lock"):
        if sample_matches(sample, hand):
            return
        if root.exists() and any(root.iterdir()):
            raise InputError(f"{root} was not rendered with these settings: remove it, or set another sample.root")
        with replacing_folder(root) as folder:
            plan = plan_sample(sample, hand)
            render_sample(folder, plan, sample, hand)
            write_tables(folder, plan)
            (folder / SETTINGS_FILE).write_text(settings_text(sample, hand), encoding="utf-8")


def render_sample(folder: Path, plan: Plan, sample: SampleConfig, ranges: HandConfig) -> None:
    """Draw a planned sample in worker processes; write the parquet files of both splits into the folder."""
    with start_workers(sample.processes) as workers:
        pixels = {split: folder / f"{split}.npy" for split in SPLITS}
        futures = []
        for number, split in enumerate(SPLITS):
            allocate_images(pixels[split], (len(plan[split]), IMAGE_HEIGHT, IMAGE_WIDTH))
            items = sorted(plan[split], key=lambda item: item.grapheme.text)  # a worker traces few glyphs
            for start in range(0, len(items), IMAGES_PER_TASK):
                task = items[start : start + IMAGES_PER_TASK]
                futures.append(workers.submit(render_items, pixels[split], task, ranges, (sample.seed, number)))
        with tqdm(total=sum(map(len, plan.values())), desc="rendering", unit=" images", disable=None) as bar:
            for future in as_completed(futures):
                bar.update(future.result())
        shards = [
            workers.submit(write_shard, pixels[split], split, numbers, folder / f"{split}_image_data_{shard}.parquet")
            for split in SPLITS
            for shard, numbers in enumerate(shard_ranges(len(plan[split]), sample.num_shards))
        ]
        for written in tqdm(shards, desc="writing", unit=" files", disable=None):
            written.result()
        for path in pixels.values():
            path.unlink()


def render_items(pixels: Path, items: Sequence[Item], ranges: HandConfig, seed: tuple[int, int]) -> int:
    """Draw images into an .npy file and return their number; each has its own generator, whichever worker draws it."""
    images = np.lib.format.open_memmap(pixels, "r+")
    for item in items:
        generator = np.random.default_rng((*seed, item.number))
        images[item.number] = draw_grapheme(item.grapheme.text, item.hand, ranges, generator)
    return len(items)


def write_shard(pixels: Path | NDArray[np.uint8], split: str, numbers: range, path: Path) -> None:
    """Write a parquet file of images: image k of `numbers` is image k % N of pixels.

    pixels: (N, IMAGE_HEIGHT, IMAGE_WIDTH) uint8, or the .npy file that holds them.

    Parquet stores uint8 as 32-bit integers, which this encoding splits into bytes. 4,096 images (132 MB) become 67 MB
    in 4.0 s; with a dictionary instead 82 MB in 6.2 s; in Kaggle's way (snappy and a dictionary) 121 MB in 4.0 s.
    """
    stored = np.load(pixels, mmap_mode="r", allow_pickle=False) if isinstance(pixels, Path) else pixels
    images = stored.reshape(-1, NUM_PIXELS)
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
