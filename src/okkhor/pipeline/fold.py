"""One fold of a run: its images, its network and trainer, its out-of-fold table."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import AveragedModel

from okkhor.config import Config
from okkhor.data.augmentation import Augmentation
from okkhor.data.batches import BatchLoader
from okkhor.data.loading import BatchesInOrder, CachedImages, ShuffledBatches, sampling_weights, validation_part
from okkhor.errors import ConfigError
from okkhor.files import replacing
from okkhor.label_triples import count_graphemes, write_graphemes
from okkhor.models.network import ThreeHeadNetwork, create_network, place_network
from okkhor.models.weights import initialise_from, save_weights
from okkhor.pipeline.prepared import Prepared
from okkhor.pipeline.pseudo_labels import write_pseudo_labels
from okkhor.pipeline.rendered_images import render_for_epochs
from okkhor.pipeline.run import check_same_split, fold_folder, is_begun, is_finished
from okkhor.pipeline.scores import print_scores, score_table
from okkhor.pipeline.training_set import TrainingSet, select_training_set
from okkhor.predictions import Predictions, read_predictions, write_predictions
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode
from okkhor.settings import load_stored
from okkhor.training.averaging import StepAverage
from okkhor.training.device import Precision, compile_in_place
from okkhor.training.distributed import World
from okkhor.training.fit import fit
from okkhor.training.freezing import freeze
from okkhor.training.loop import Batch, Trainer, infer, join_batches
from okkhor.training.loss import ThreeHeadLoss
from okkhor.training.optimizer import make_optimizer, make_schedule
from okkhor.training.recipe import Recipe


def train_fold(config: Config, prepared: Prepared, fold: int, precision: Precision, group: World) -> None:
    """Train one fold to its end; leaves model.safetensors, oof.parquet, state.pt and log.jsonl in its folder."""
    folder = fold_folder(config.run, fold)
    pin, train = precision.device.type == "cuda", config.train
    training = select_training_set(config, prepared, fold)
    cooldown_from = train.epochs - config.augment.cooldown_epochs
    augmentation = Augmentation(config.augment)
    images = CachedImages(
        training.caches, training.rows, training.labels, augmentation, config.seed, cooldown_from=cooldown_from
    )
    weights = sampling_weights(train.sampling, training.labels)
    order = ShuffledBatches(len(training.rows), train.batch_size, config.seed, weights, group.rank, group.world_size)
    network = start_network(config, training.graphemes, fold)
    trainer = make_trainer(network, config, precision, training, len(order), group)
    validation = prepared.folds.validation_rows(fold)
    labels = prepared.train.labels(validation)
    part = validation_part(len(validation), group.rank, group.world_size)
    held_out = CachedImages([prepared.cache], validation[part], {name: labels[name][part] for name in HEAD_NAMES})
    batches = BatchLoader(held_out, BatchesInOrder(len(held_out), train.batch_size), config.data.num_workers, pin)
    print(
        f"Fold {fold}: {len(training.rows):,} images to train on, {len(validation):,} to validate; "
        f"{config.model.backbone} at {config.data.size} pixels in {str(precision.dtype)[6:]} on {precision.device}"
        + (f", {group.world_size} processes." if group.world_size > 1 else ".")
    )
    unseen = prepared.folds.unseen(fold) if prepared.folds.has_unseen else None
    truth = Predictions(prepared.train.image_ids(validation), {}, labels, unseen=unseen)
    if group.is_main:
        write_graphemes(count_graphemes(training.labels), folder / "graphemes.csv")
        if training.pseudo is not None:
            write_pseudo_labels(training.pseudo, folder)
    fit(
        trainer,
        BatchLoader(images, order, config.data.num_workers, pin, keeps_workers=True),
        order,
        validate=partial(validate, batches=batches, truth=truth, precision=precision, group=group),
        save=partial(save_predictor, folder=folder),
        folder=folder,
        prepare_epoch=render_for_epochs(training.fresh, training.caches[-1], config.data.rendered_epochs),
    )
    if group.is_main and training.fresh is not None:
        training.caches[-1].unlink(missing_ok=True)  # the images of the last epoch


def start_network(config: Config, graphemes: NDArray[np.int64], fold: int) -> ThreeHeadNetwork:
    """With pretrained weights, those of another run, or random ones; going on, they come from state.pt instead."""
    torch.manual_seed(config.seed)
    if is_begun(fold_folder(config.run, fold)):
        return create_network(replace(config.model, pretrained=False), config.data.size, graphemes)
    if not config.model.init_from:
        return create_network(config.model, config.data.size, graphemes)
    network = create_network(replace(config.model, pretrained=False), config.data.size, graphemes)
    source = find_source(config, fold)
    left_out = initialise_from(network, source / "model.safetensors")
    print(f"Starting from {source}." + (f" Not from there: {', '.join(left_out[:3])}." if left_out else ""))
    return network


def find_source(config: Config, fold: int) -> Path:
    """The fold of model.init_from to start from: of the same number, or the first, where it saw other data.

    Raises ConfigError where the run is not there, or where its weights know this fold's validation images.
    """
    run = config.model.init_from
    same = fold_folder(run, fold)
    if is_finished(same):
        check_same_split(config, same, "model.init_from")
        return same
    finished = sorted(path.parent for path in same.parent.glob("fold*/metrics.json"))
    if not finished:
        raise ConfigError(f"model.init_from={run}: {same.parent} has no finished fold to start from.")
    root = load_stored(finished[0] / "config.yaml").data.root
    if Path(root).resolve() == Path(config.data.root).resolve():
        raise ConfigError(
            f"model.init_from={run}: its fold {fold} is not finished, and another one has trained on the images that "
            f"this fold is validated with. Train it: ./run.sh fold={fold} run={run}"
        )
    return finished[0]


def make_trainer(
    network: ThreeHeadNetwork,
    config: Config,
    precision: Precision,
    training: TrainingSet,
    steps_per_epoch: int,
    group: World,
) -> Trainer:
    network = place_network(network, precision.device)
    optimizer = make_optimizer(network, config.optimizer)
    decay = config.train.ema_decay
    compile_in_place(network, config.train.compile)
    return Trainer(
        network=network,
        optimizer=optimizer,
        schedule=make_schedule(optimizer, config.optimizer, config.train.epochs * steps_per_epoch),
        scaler=precision.make_scaler(),
        precision=precision,
        loss=ThreeHeadLoss(
            config.loss, config.model.consonant, training.labels, precision.device, config.model.graphemes
        ),
        recipe=Recipe(config.train, config.optimizer, config.mix, config.data.size, config.seed),
        ema=StepAverage(network, decay=decay, use_warmup=True) if decay else None,
        average=AveragedModel(network) if config.train.swa_epochs else None,
        freeze=partial(freeze, freeze_epochs=config.train.freeze_epochs),
        group=group,
    )


def validate(
    network: nn.Module,
    batches: Iterable[Batch],
    truth: Predictions,
    precision: Precision,
    group: World,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, float], Predictions]:
    """The scores over the whole fold at once, and the predictions that they were computed from.

    Each process predicts its part of the fold; all get the whole. Raises KeyboardInterrupt where it should stop.
    """
    own = []
    for part in infer(network, batches, precision):
        own.append(part)
        if should_stop():
            raise KeyboardInterrupt
    parts: Sequence[dict[str, torch.Tensor]] = [part for parts in group.gather(own) for part in parts]
    predictions = join_batches(parts, truth.image_ids, truth.labels, truth.unseen)
    scores = score_table(predictions)
    return scores["all"] | {name: scores[name]["score"] for name in ("seen", "unseen") if name in scores}, predictions


def save_predictor(network: nn.Module, predictions: Predictions, name: str, folder: Path) -> None:
    """name: "", or -cycle<k> for the snapshot at the end of a cycle."""
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
