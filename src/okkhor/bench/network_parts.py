"""The benchmark's parts with a network: training, validation and prediction, against the network alone."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from okkhor.bench.timing import Figure, compare
from okkhor.config import Config
from okkhor.data.augmentation import Augmentation
from okkhor.data.batches import BatchLoader
from okkhor.data.cache import build_cache
from okkhor.data.competition import TestSet
from okkhor.data.loading import BatchesInOrder, CachedImages, ShuffledBatches
from okkhor.models.network import ThreeHeadNetwork, create_network, place_network
from okkhor.pipeline.fold import make_trainer, validate
from okkhor.pipeline.inference import Readers, predict_images
from okkhor.pipeline.prepared import Prepared
from okkhor.pipeline.training_set import TrainingSet, select_training_set
from okkhor.predictions import Predictions
from okkhor.schema import HEAD_NAMES
from okkhor.training.device import Precision, choose_device, choose_precision, compile_in_place
from okkhor.training.distributed import World
from okkhor.training.loop import Trainer, to_device, train_epoch
from okkhor.training.optimizer import make_optimizer

MANY_STEPS = 1_000_000  # of the schedule: more than are measured


def at_sizes(config: Config, prepared: Prepared) -> Iterator[tuple[Config, Prepared]]:
    for size in config.bench.sizes:
        data = replace(config.data, size=size)
        yield replace(config, data=data), replace(prepared, cache=build_cache(prepared.train, data))


def bench_train(config: Config, prepared: Prepared) -> Iterator[Figure]:
    """The loop of training with its loader, against the bare step: network, loss and optimizer on one batch."""
    precision = choose_precision(config.train.precision, choose_device(config.train.device))
    for sized, there in at_sizes(config, prepared):
        training = select_training_set(sized, there, fold=0)
        network = place_network(create_network(config.model, sized.data.size, training.graphemes), precision.device)
        loop = TrainingLoop(sized, training, network, precision)
        bare = make_bare_step(deepcopy(network), sized, precision, loop)
        name = f"{describe(sized, precision)}, {config.augment.policy}"
        yield from compare("train", name, loop.run, bare, config.bench.repeats, least=0.97, unit="images/s")


def describe(config: Config, precision: Precision) -> str:
    return f"{config.model.backbone} at {config.data.size} pixels in {str(precision.dtype).removeprefix('torch.')}"


class TrainingLoop:
    """Training as a fold does it, on the last batches of one epoch after another."""

    def __init__(self, config: Config, training: TrainingSet, network: ThreeHeadNetwork, precision: Precision) -> None:
        images = CachedImages(
            training.caches, training.rows, training.labels, Augmentation(config.augment), config.seed
        )
        self.order = ShuffledBatches(len(images), config.train.batch_size, config.seed)
        self.num_batches = max(1, min(len(self.order), config.bench.images // self.order.batch_size))
        self.order.first_batch = len(self.order) - self.num_batches
        pin = precision.device.type == "cuda"
        self.loader = BatchLoader(images, self.order, config.data.num_workers, pin, keeps_workers=True)
        self.trainer: Trainer = make_trainer(network, config, precision, training, MANY_STEPS, World())

    def run(self) -> int:
        """Returns the number of images."""
        self.order.epoch += 1
        losses = train_epoch(self.trainer, self.loader, self.order.epoch, self.order.first_batch)
        return len(list(losses)) * self.order.batch_size


def make_bare_step(network: nn.Module, config: Config, precision: Precision, loop: TrainingLoop) -> Callable[[], int]:
    """As many steps as the loop makes, on one batch that stays on the device: what nobody can do without."""
    compile_in_place(network, config.train.compile)
    optimizer = make_optimizer(network, config.optimizer)
    images, labels = next(iter(to_device(loop.loader, precision.device)))

    def step() -> int:
        network.train()
        for _ in range(loop.num_batches):
            with precision.autocast():
                logits = network(images)
            losses = [functional.cross_entropy(logits[name].float(), labels[:, k]) for k, name in enumerate(HEAD_NAMES)]
            torch.stack(losses).sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loop.num_batches * len(images)

    return step


def bench_predict(config: Config, prepared: Prepared) -> Iterator[Figure]:
    """Validation from the cache and prediction from parquet, against the bare forward pass."""
    precision = choose_precision(config.train.precision, choose_device(config.train.device))
    for sized, there in at_sizes(config, prepared):
        graphemes = select_training_set(sized, there, fold=0).graphemes
        network = place_network(create_network(config.model, sized.data.size, graphemes), precision.device)
        bare = make_bare_forward(network, sized, there, precision)
        name = describe(sized, precision)
        for kind, ours in (
            ("validation", make_validation(network, sized, there, precision)),
            ("test images", make_prediction(network, sized, there, precision)),
        ):
            yield from compare("predict", f"{kind}, {name}", ours, bare, config.bench.repeats, 0.95, "images/s")


def make_bare_forward(
    network: nn.Module, config: Config, prepared: Prepared, precision: Precision
) -> Callable[[], int]:
    """The network on one batch that stays on the device."""
    rows = prepared.folds.validation_rows(0)[: config.train.batch_size]
    ((images, _),) = BatchLoader(
        CachedImages([prepared.cache], rows, prepared.train.labels(rows)),
        BatchesInOrder(len(rows), len(rows)),
        0,
        False,
    )
    resident: Tensor = images.to(precision.device)
    num_batches = max(1, config.bench.images // len(rows))

    @torch.inference_mode()
    def forward() -> int:
        network.eval()
        for _ in range(num_batches):
            with precision.autocast():
                network(resident)
        return num_batches * len(rows)

    return forward


def make_validation(network: nn.Module, config: Config, prepared: Prepared, precision: Precision) -> Callable[[], int]:
    """The held-out images of a fold, or the first of them, scores included."""
    rows = prepared.folds.validation_rows(0)[: config.bench.images]
    labels = prepared.train.labels(rows)
    truth = Predictions(prepared.train.image_ids(rows), {}, labels)
    pin = precision.device.type == "cuda"
    images = CachedImages([prepared.cache], rows, labels)
    order = BatchesInOrder(len(rows), config.train.batch_size)
    batches = BatchLoader(images, order, config.data.num_workers, pin)

    def run() -> int:
        validate(network, batches, truth, precision, World())
        return len(rows)

    return run


def make_prediction(network: nn.Module, config: Config, prepared: Prepared, precision: Precision) -> Callable[[], int]:
    """The first shard of train as if it were test's: there are more images, and Kaggle's have 50,000 each too."""
    shard = prepared.train.shards[0]
    test = TestSet(pd.DataFrame({"image_id": shard.image_ids}), (shard,))
    readers = Readers({"untrained": network}, config.data, config.train.batch_size, precision, num_views=1)

    def run() -> int:
        (table,) = predict_images(readers, test)
        return len(table)

    return run
