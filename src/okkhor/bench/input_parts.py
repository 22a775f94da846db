"""The benchmark's parts without a network: the cache, the loader, rendering."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from okkhor.bench.timing import Figure, Target, compare, make_figure, measure_rate, run_apart
from okkhor.config import Config, DataConfig
from okkhor.data.augmentation import Augmentation, make_transform
from okkhor.data.batches import BatchLoader
from okkhor.data.cache import build_cache
from okkhor.data.competition import TrainSet
from okkhor.data.loading import CachedImages, ShuffledBatches
from okkhor.data.shards import COLUMNS_PER_BLOCK, PIXEL_COLUMNS, Shard
from okkhor.pipeline.prepared import Prepared
from okkhor.pipeline.rendered_images import choose_graphemes, plan_fresh_images
from okkhor.pipeline.run import RUNS
from okkhor.pipeline.training_set import select_training_set
from okkhor.rendering.fresh import FreshImages

NUM_LOADED = 8192  # images of a measurement: an epoch has more, and its first batch is waited for
RENDERED_SHARE = 16  # times bench.images: an epoch of the sample preset renders 70,000, and processes take 3 s to start


def bench_cache(config: Config, prepared: Prepared) -> Iterator[Figure]:
    """All train images: parquet to cache, against decoding their columns and nothing else."""
    shards, repeats = prepared.train.shards, config.bench.repeats
    rate, bare, share = compare(
        "cache",
        f"rows to cache at {config.data.size} pixels",
        ours=lambda: build_anew(prepared.train, config.data),
        bare=lambda: decode_columns(shards),
        repeats=repeats,
        least=1 / 1.5,
        unit="rows/s",
    )
    yield from (rate, bare, share)
    peak = run_apart(build_anew, prepared.train, config.data).memory / 1e9
    yield make_figure("cache", f"peak memory, {len(prepared.train.table):,} rows", [peak], "GB", Target("at most", 1.5))


def build_anew(train: TrainSet, data: DataConfig) -> int:
    """Build the cache in a folder of its own, where there is none; returns the number of rows."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=RUNS) as folder:
        build_cache(train, replace(data, cache_dir=folder))
    return len(train.table)


def decode_columns(shards: Sequence[Shard]) -> int:
    for shard in shards:
        with pq.ParquetFile(shard.path) as file:
            for first in range(0, len(PIXEL_COLUMNS), COLUMNS_PER_BLOCK):
                file.read(PIXEL_COLUMNS[first : first + COLUMNS_PER_BLOCK])
    return sum(len(shard.image_ids) for shard in shards)


def repeat_shards(shards: Sequence[Shard], times: int) -> TrainSet:
    """The same files so many times, each time under other image_ids: a large set, without its disk space."""
    repeated = [
        Shard(shard.path, np.char.add(shard.image_ids, f"_{time}")) for time in range(times) for shard in shards
    ]
    ids = np.concatenate([shard.image_ids for shard in repeated])
    return TrainSet(pd.DataFrame({"image_id": ids}), tuple(repeated))


def bench_loader(config: Config, prepared: Prepared) -> Iterator[Figure]:
    """Augmented batches with 0, 1 and 2 workers, against Albumentations alone on images in memory, on one core."""
    training = select_training_set(config, prepared, fold=0)
    images = CachedImages(training.caches, training.rows, training.labels, Augmentation(config.augment), config.seed)
    order = ShuffledBatches(len(images), config.train.batch_size, config.seed)
    num_batches = min(len(order), NUM_LOADED // order.batch_size)
    resident = np.empty((num_batches * order.batch_size, *images.shape), np.uint8)
    images.read(training.rows[: len(resident)], resident)
    transform = make_transform(config.augment, config.augment.strength)

    def augment() -> int:
        cv2.setNumThreads(0)
        return len([transform(image=image)["image"] for image in resident])

    for num_workers in (0, 1, 2):
        loader = BatchLoader(images, order, num_workers, pin=False, keeps_workers=True)
        cores = max(1, min(num_workers, len(os.sched_getaffinity(0))))
        ours = partial(load, loader, order, num_batches, cores)
        name = f"{config.augment.policy} at {config.data.size} pixels, {num_workers} workers"
        yield from compare("loader", name, ours, augment, config.bench.repeats, least=0.85, unit="images/s a core")


def load(loader: BatchLoader, order: ShuffledBatches, num_batches: int, cores: int) -> int:
    """The last batches of the next epoch; returns the number of images a core."""
    order.epoch, order.first_batch = order.epoch + 1, len(order) - num_batches
    return sum(len(labels) for _, labels in loader) // cores


def bench_render(config: Config, prepared: Prepared) -> Iterator[Figure]:
    """Fresh images for an epoch, with one process and with two; the start of the processes included."""
    graphemes = choose_graphemes(config, prepared.train.table)[:64]
    num_each = RENDERED_SHARE * config.bench.images // len(graphemes)
    many = [grapheme for grapheme in graphemes for _ in range(num_each)]
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=RUNS) as folder:
        for processes, target in ((1, None), (2, Target("at least", 1000))):
            fresh = replace(plan_fresh_images(config, many), processes=processes)
            render(fresh, Path(folder))
            rates = [measure_rate(partial(render, fresh, Path(folder))) for _ in range(config.bench.repeats)]
            yield make_figure("render", f"fresh images, {processes} processes", rates, "images/s", target)


def render(fresh: FreshImages, folder: Path) -> int:
    fresh.render(folder / "rendered.npy", 0, lambda: False)
    return len(fresh.texts)
