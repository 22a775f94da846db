"""`train_fold`: one fold of a run, from its training set to its out-of-fold table and its score."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import AveragedModel

from okkhor.config import Config, TrainConfig
from okkhor.data.augmentation import Augmentation
from okkhor.data.loading import Batch, BatchesInOrder, CachedImages, Loader, ShuffledBatches, sampling_weights
from okkhor.errors import ConfigError
from okkhor.files import replacing
from okkhor.label_triples import count_triples, write_triples
from okkhor.models.network import ThreeHeadNetwork, create_network, place_network
from okkhor.models.weights import initialise_from, save_weights
from okkhor.pipeline.inference import predict
from okkhor.pipeline.prepared import Prepared
from okkhor.pipeline.run import Run, check_same_split, has_same_data
from okkhor.pipeline.scores import print_scores, score_table
from okkhor.pipeline.training_set import TrainingSet, select_training_set
from okkhor.predictions import Predictions, concatenate, read_predictions, write_predictions
from okkhor.processes import usable_workers
from okkhor.scoring.decoding import decode
from okkhor.training.averaging import StepAverage
from okkhor.training.device import Precision
from okkhor.training.distributed import World
from okkhor.training.fit import fit
from okkhor.training.loop import Trainer
from okkhor.training.loss import ThreeHeadLoss
from okkhor.training.optimizer import make_optimizer, make_schedule
from okkhor.training.recipe import Recipe


def train_fold(config: Config, prepared: Prepared, fold: int, precision: Precision, world: World) -> None:
    """Train one fold to its end; leave model.safetensors, oof.parquet, state.pt and log.jsonl in its folder."""
    folder = Run(config.run).fold(fold)
    training = select_training_set(config, prepared, fold)
    network = start_network(config, training.graphemes, fold)
    validation = ValidationFold(config, prepared, fold, precision, world)
    with ExitStack() as stack:
        loader = stack.enter_context(closing(make_loader(config, training, precision, world)))
        stack.enter_context(closing(validation.loader))
        trainer = make_trainer(network, config, precision, training, config.train.epochs * len(loader), world)
        print(
            f"Fold {fold}: {len(training.rows):,} images to train on, {len(validation.truth):,} to validate; "
            f"{config.model.backbone} at {config.data.size} pixels in {str(precision.dtype)[6:]} on {precision.device}"
            + (f", {world.size} processes." if world.size > 1 else ".")
        )
        if world.is_main:
            write_triples(count_triples(training.labels), folder / "graphemes.csv")
            if training.pseudo is not None:
                with replacing(folder / "pseudo.csv") as temporary:
                    training.pseudo.to_csv(temporary, index=False)
        fit(trainer, loader, validation.evaluate, partial(save_predictor, folder), folder, training.prepare_epoch)
    if world.is_main and training.prepare_epoch is not None:
        training.caches[-1].unlink(missing_ok=True)  # the rendered images of the last epoch


def make_loader(config: Config, training: TrainingSet, precision: Precision, world: World) -> Loader:
    """Make the loader of the training images."""
    train, augmentation = config.train, Augmentation(config.augment)
    images = CachedImages(training.caches, training.rows, training.labels, augmentation, config.seed)
    weights = sampling_weights(train.sampling, training.labels)
    order = ShuffledBatches(len(training.rows), train.batch_size, config.seed, weights, world.rank, world.size)
    return Loader(images, order, usable_workers(config.data.num_workers), pin=precision.device.type == "cuda")


def start_network(config: Config, graphemes: NDArray[np.int64], fold: int) -> ThreeHeadNetwork:
    """Create the network: with pretrained weights, those of another run, or random ones; state.pt may replace them."""
    torch.manual_seed(config.seed)
    is_begun, init_from = Run(config.run).is_begun(fold), config.model.init_from
    model = replace(config.model, pretrained=False) if is_begun or init_from else config.model
    network = create_network(model, config.data.size, graphemes)
    if init_from and not is_begun:
        source = find_init_source(config, fold)
        left_out = initialise_from(network, source / "model.safetensors")
        print(f"Starting from {source}." + (f" Not from there: {', '.join(left_out[:3])}." if left_out else ""))
    return network


def find_init_source(config: Config, fold: int) -> Path:
    """Find the fold of model.init_from to start from: of the same number, or the first where the run saw other data.

    Raises ConfigError where the run is not there, or where its weights know this fold's validation images.
    """
    other = Run(config.model.init_from)
    if other.is_finished(fold):
        check_same_split(config, other, fold, "model.init_from")
        return other.fold(fold)
    finished = other.finished_folds()
    if not finished:
        raise ConfigError(f"model.init_from={other.name}: {other.folder} has no finished fold to start from.")
    if has_same_data(config, other, finished[0]):
        raise ConfigError(
            f"model.init_from={other.name}: its fold {fold} is not finished, and another fold has trained on the "
            f"images that this fold is validated with. Train it: ./run.sh fold={fold} run={other.name}"
        )
    return other.fold(finished[0])


def make_trainer(
    network: ThreeHeadNetwork, config: Config, precision: Precision, training: TrainingSet, num_steps: int, world: World
) -> Trainer:
    network = place_network(network, precision.device)
    optimizer = make_optimizer(network, config.optimizer)
    model, decay = config.model, config.train.ema_decay
    return Trainer(
        network=network,
        optimizer=optimizer,
        schedule=make_schedule(optimizer, config.optimizer, num_steps),
        scaler=precision.make_scaler(),
        precision=precision,
        loss=ThreeHeadLoss(config.loss, model.consonant, training.labels, precision.device, model.graphemes),
        recipe=Recipe(config.train, config.optimizer, config.mix, config.data.size, config.seed),
        ema=StepAverage(network, decay=decay, use_warmup=True) if decay else None,
        average=AveragedModel(network) if config.train.swa_epochs else None,
        start_epoch=partial(start_epoch, train=config.train),
        world=world,
    )


def start_epoch(network: nn.Module, epoch: int, train: TrainConfig) -> None:
    """Freeze what does not train yet. Compile when all layers train: torch gives up after eight graphs of a network."""
    if train.freeze_epochs:
        from okkhor.training.freezing import freeze  # where it is asked for

        freeze(network, epoch, train.freeze_epochs)
    if train.compile != "none" and epoch >= train.freeze_epochs:
        from okkhor.training.compiling import compile_in_place

        compile_in_place(network, train.compile)


class ValidationFold:
    """The images that a fold is validated with; each process predicts its part of them."""

    def __init__(self, config: Config, prepared: Prepared, fold: int, precision: Precision, world: World) -> None:
        rows = prepared.folds.validation_rows(fold)
        labels, unseen = prepared.train.labels(rows), prepared.folds.unseen(fold) if prepared.folds.has_unseen else None
        self.truth = Predictions(prepared.train.image_ids(rows), {}, labels, unseen=unseen)
        self.part = np.array_split(np.arange(len(rows)), world.size)[world.rank]
        images = CachedImages([prepared.cache], rows[self.part], labels.rows(self.part))
        order = BatchesInOrder(len(images), config.train.batch_size)
        self.loader = Loader(
            images, order, usable_workers(config.data.num_workers), pin=precision.device.type == "cuda"
        )
        self.precision = precision
        self.world = world

    def evaluate(
        self, network: nn.Module, should_stop: Callable[[], bool] = lambda: False
    ) -> tuple[dict[str, float], Predictions] | None:
        """Score a network over the whole fold at once; return the scores and the predictions that they come from.

        Every process gets the whole. Returns None where it was stopped between two batches.
        """
        try:
            own_ids = self.truth.image_ids[self.part]
            tables = predict([network], self._batches(should_stop), own_ids, self.precision) if len(own_ids) else []
        except _StoppedError:
            return None
        parts = [part for tables in self.world.gather(tables) for part in tables]
        predictions = replace(concatenate(parts), labels=self.truth.labels, unseen=self.truth.unseen)
        scores = score_table(predictions)
        subsets = {name: scores[name]["score"] for name in ("seen", "unseen") if name in scores}
        return scores["all"] | subsets, predictions

    def _batches(self, should_stop: Callable[[], bool]) -> Iterator[Batch]:
        for batch in self.loader.epoch():
            yield batch
            if should_stop():
                raise _StoppedError


class _StoppedError(Exception):
    """Validation was stopped between two batches."""


def save_predictor(folder: Path, network: nn.Module, predictions: Predictions, name: str) -> None:
    """Keep the weights and the out-of-fold table. name: "", or -cycle<k> for the snapshot at the end of a cycle."""
    save_weights(network, folder / f"model{name}.safetensors")
    write_predictions(predictions, decode(predictions.probabilities), folder / f"oof{name}.parquet")


def finish_fold(folder: Path) -> None:
    """Score the out-of-fold table as it stands on the disk; metrics.json, written last, marks a finished fold."""
    predictions = read_predictions(folder / "oof.parquet")
    scores = score_table(predictions)
    subsets = {name: values for name, values in scores.items() if name != "all"}
    with replacing(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps({**scores["all"], "num_images": len(predictions), **subsets}, indent=2) + "\n")
    print_scores({f"out of fold, {folder.name}": scores["all"], **subsets})
