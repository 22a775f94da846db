"""The parts of the benchmark: `bench_cache`, `bench_loader`, and with a network `bench_train` and `bench_predict`."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from torch.nn import functional

from okkhor.bench.timing import Figure, Target, Work, call_apart, make_figure, measure_share
from okkhor.config import Config, DataConfig
from okkhor.data.augmentation import Augmentation, make_transform
from okkhor.data.cache import build_cache, open_cache
from okkhor.data.competition import TestSet, TrainSet
from okkhor.data.loading import CachedImages, Loader, ShuffledBatches
from okkhor.data.shards import COLUMNS_PER_BLOCK, PIXEL_COLUMNS, Shard
from okkhor.models.network import ThreeHeadNetwork, create_network, place_network
from okkhor.pipeline.fold import make_trainer
from okkhor.pipeline.inference import Networks, predict_test
from okkhor.pipeline.prepared import Prepared
from okkhor.pipeline.run import RUNS
from okkhor.pipeline.training_set import TrainingSet, select_training_set
from okkhor.schema import HEAD_NAMES
from okkhor.training.compiling import compile_in_place
from okkhor.training.device import Precision, choose_device, choose_precision
from okkhor.training.distributed import World
from okkhor.training.loop import train_epoch
from okkhor.training.optimizer import make_optimizer

NUM_LOADED = 8192  # images of a measurement: the last of an epoch, so that nobody waits for a first batch
MANY_STEPS = 1_000_000  # of the learning rate's schedule: more than are measured


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
    images, order = open_images(config, training)
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


def open_images(config: Config, training: TrainingSet) -> tuple[CachedImages, ShuffledBatches]:
    """The augmented images of a fold's training, and the order of their batches."""
    images = CachedImages(training.caches, training.rows, training.labels, Augmentation(config.augment), config.seed)
    return images, ShuffledBatches(len(images), config.train.batch_size, config.seed)


@dataclass(frozen=True)
class Case:
    """An untrained network and its input at one image size. name: of all of it, for the table."""

    name: str
    config: Config
    prepared: Prepared
    training: TrainingSet
    network: ThreeHeadNetwork
    precision: Precision


def make_cases(config: Config, prepared: Prepared) -> Iterator[Case]:
    """A case for each of bench.sizes."""
    precision = choose_precision(config.train.precision, choose_device(config.train.device), is_training=True)
    for size in config.bench.sizes:
        sized = replace(config, data=replace(config.data, size=size))
        there = replace(prepared, cache=build_cache(prepared.train, sized.data))
        training = select_training_set(sized, there, fold=0)
        network = place_network(create_network(config.model, size, training.graphemes), precision.device)
        name = f"{config.model.backbone} at {size} pixels in {str(precision.dtype).removeprefix('torch.')}"
        yield Case(name, sized, there, training, network, precision)


def bench_train(config: Config, prepared: Prepared) -> Iterator[Figure]:
    """Train with the loader; bare: the step on one batch, that is network, loss and optimizer."""
    for case in make_cases(config, prepared):
        name, network = f"{case.name}, {config.augment.policy}", deepcopy(case.network)
        loop = TrainingLoop(case)
        bare = make_bare_step(replace(case, network=network), loop)
        yield from measure_share(name, loop.run, bare, config.bench.repeats, least=0.97, unit="images/s")


def bench_predict(config: Config, prepared: Prepared) -> Iterator[Figure]:
    """Predict test images from parquet; bare: the forward pass."""
    for case in make_cases(config, prepared):
        ours, bare, name = make_prediction(case), make_bare_forward(case), f"test images, {case.name}"
        yield from measure_share(name, ours, bare, config.bench.repeats, least=0.95, unit="images/s")


class TrainingLoop:
    """Training as a fold does it, on the last batches of one epoch after another."""

    def __init__(self, case: Case) -> None:
        config, training = case.config, case.training
        images, order = open_images(config, training)
        self.batch_size = order.batch_size
        self.num_batches = max(1, min(len(order), config.bench.images // order.batch_size))
        pin = case.precision.device.type == "cuda"
        self.loader = Loader(images, order, config.data.num_workers, pin)
        self.epoch = 0
        self.trainer = make_trainer(case.network, config, case.precision, training, MANY_STEPS, World())

    def run(self) -> int:
        """Train on the next epoch's last batches; return the number of images."""
        self.epoch += 1
        first = len(self.loader) - self.num_batches
        losses = train_epoch(self.trainer, self.loader.epoch(self.epoch, first), self.epoch, first)
        return len(list(losses)) * self.batch_size


def make_bare_step(case: Case, loop: TrainingLoop) -> Work:
    """The loop's number of steps on one batch that stays on the device."""
    network, device = case.network, case.precision.device
    compile_in_place(network, case.config.train.compile)
    optimizer = make_optimizer(network, case.config.optimizer)
    images, labels = (tensor.to(device) for tensor in next(loop.loader.epoch()))

    def step() -> int:
        network.train()
        for _ in range(loop.num_batches):
            with case.precision.autocast():
                logits = network(images)
            losses = [functional.cross_entropy(logits[name].float(), labels[:, k]) for k, name in enumerate(HEAD_NAMES)]
            torch.stack(losses).sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loop.num_batches * len(images)

    return step


def make_bare_forward(case: Case) -> Work:
    """Forward passes for bench.images on one batch that stays on the device."""
    rows = case.prepared.folds.validation_rows(0)[: case.config.train.batch_size]
    images = torch.from_numpy(open_cache(case.prepared.cache)[rows]).unsqueeze(1).to(case.precision.device)
    num_batches = max(1, case.config.bench.images // len(rows))

    @torch.inference_mode()
    def forward() -> int:
        case.network.eval()
        for _ in range(num_batches):
            with case.precision.autocast():
                case.network(images)
        return num_batches * len(rows)

    return forward


def make_prediction(case: Case) -> Work:
    """Prediction of the first shard of train: test may have few images, Kaggle's shards of both have 50,000."""
    config, shard = case.config, case.prepared.train.shards[0]
    test = TestSet(pd.DataFrame({"image_id": shard.image_ids}), (shard,))
    networks = Networks({"untrained": case.network}, config.data, config.train.batch_size, case.precision, num_views=1)

    def run() -> int:
        (table,) = predict_test(networks, test)
        return len(table)

    return run
