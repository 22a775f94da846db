"""The parts of the benchmark without a network: `bench_cache` and `bench_loader`."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pyarrow.parquet as pq

from okkhor.bench.timing import Figure, Target, call_apart, make_figure, measure_share
from okkhor.config import Config, DataConfig
from okkhor.data.augmentation import Augmentation, make_transform
from okkhor.data.cache import build_cache
from okkhor.data.competition import TrainSet
from okkhor.data.loading import CachedImages, Loader, ShuffledBatches
from okkhor.data.shards import COLUMNS_PER_BLOCK, PIXEL_COLUMNS, Shard
from okkhor.pipeline.prepared import Prepared
from okkhor.pipeline.run import RUNS
from okkhor.pipeline.training_set import select_training_set

NUM_LOADED = 8192  # images of a measurement: the last of an epoch, so that nobody waits for a first batch


def bench_cache(config: Config, prepared: Prepared) -> Iterator[Figure]:
    """Build the cache of all train images; bare: decode their pixel columns. With the peak memory."""
    train, name = prepared.train, f"rows to cache at {config.data.size} pixels"
    ours, bare = partial(build_anew, train, config.data), partial(decode_columns, train.shards)
    yield from measure_share(name, ours, bare, config.bench.repeats, least=1 / 1.5, unit="rows/s")
    peak = call_apart(build_anew, train, config.data).peak_bytes / 1e9
    yield make_figure(f"peak memory, {len(train.table):,} rows", [peak], "GB", Target("at most", 1.5))


def build_anew(train: TrainSet, data: DataConfig) -> int:
    """Build the cache in an empty folder; return the number of rows."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=RUNS) as folder:
        build_cache(train, replace(data, cache_dir=folder))
    return len(train.table)


def decode_columns(shards: Sequence[Shard]) -> int:
    """Decode the pixel columns of parquet files; return the number of rows."""
    for shard in shards:
        with pq.ParquetFile(shard.path) as file:
            for first in range(0, len(PIXEL_COLUMNS), COLUMNS_PER_BLOCK):
                file.read(PIXEL_COLUMNS[first : first + COLUMNS_PER_BLOCK])
    return sum(len(shard.image_ids) for shard in shards)


def bench_loader(config: Config, prepared: Prepared) -> Iterator[Figure]:
    """Load augmented batches with 0, 1 and 2 workers; bare: Albumentations on images in memory, on one core."""
    training = select_training_set(config, prepared, fold=0)
    images = CachedImages(training.caches, training.rows, training.labels, Augmentation(config.augment), config.seed)
    order = ShuffledBatches(len(images), config.train.batch_size, config.seed)
    num_batches = min(len(order), NUM_LOADED // order.batch_size)
    resident = np.empty((num_batches * order.batch_size, *images.shape), np.uint8)
    images.read(training.rows[: len(resident)], resident)
    transform = make_transform(config.augment)

    def augment() -> int:
        cv2.setNumThreads(0)
        return len([transform(image=image)["image"] for image in resident])

    for num_workers in (0, 1, 2):
        cores = max(1, min(num_workers, len(os.sched_getaffinity(0))))
        name = f"{config.augment.policy} at {config.data.size} pixels, {num_workers} workers"
        with closing(Loader(images, order, num_workers)) as loader:
            ours = partial(load, loader, len(order) - num_batches, cores)
            yield from measure_share(name, ours, augment, config.bench.repeats, least=0.85, unit="images/s a core")


def load(loader: Loader, first_batch: int, cores: int) -> int:
    """Load the last batches of an epoch; return the number of images a core."""
    return sum(len(labels) for _, labels in loader.epoch(0, first_batch)) // cores
