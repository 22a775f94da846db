"""./run.sh fold=0: train folds; each ends with its out-of-fold score and a submission."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from timm.utils import ModelEmaV3
from torch import nn
from torch.utils.data import DataLoader

from okkhor.commands.predict import predict_folds
from okkhor.commands.prepare import Prepared, prepare
from okkhor.commands.score import print_scores
from okkhor.config import Config
from okkhor.data.augmentation import Augmentation
from okkhor.data.loading import CachedImages, ShuffledBatches, make_training_loader, make_validation_loader
from okkhor.errors import ConfigError, InputError
from okkhor.files import replacing
from okkhor.models.network import ThreeHeadNetwork, create_network, place_network
from okkhor.models.weights import save_weights
from okkhor.predictions import Predictions, read_predictions, write_predictions
from okkhor.runs import RUNS, fold_folder, is_finished, write_config
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode
from okkhor.scoring.metric import competition_score
from okkhor.settings import differing_settings, load_config, load_stored, select_folds
from okkhor.training.fit import fit
from okkhor.training.loop import Batch, Loss, Trainer, infer
from okkhor.training.loss import make_log_priors, three_head_loss
from okkhor.training.optimizer import make_optimizer, make_schedule
from okkhor.training.precision import Precision, choose_device, choose_precision

FREE_SETTINGS = ("config", "fold", "runs", "name", "submission", "overwrite", "sample.processes")
"""Those, and where and how fast to compute, may differ between a run's start and its continuation."""
SPEED_SETTINGS = ("data.cache_dir", "data.num_workers", "train.device", "train.num_threads")


def main(arguments: Sequence[str]) -> None:
    config = load_config(arguments)
    folds = select_folds(0 if config.fold is None else config.fold, config.folds.num_folds)
    train_folds(config, folds)


def train_folds(config: Config, folds: Sequence[int]) -> None:
    """Train these folds one after the other; a finished one is kept."""
    check_settings(config, folds)
    prepared = prepare(config)
    if config.overwrite:  # all at once, so that the same command without overwrite goes on from here
        for fold in folds:
            with hold(fold_folder(config.run, fold)):
                clear(fold_folder(config.run, fold))
    for fold in folds:
        folder = fold_folder(config.run, fold)
        with hold(folder):
            check_same_settings(folder, config)  # again: another process may have begun it meanwhile
            if is_finished(folder):
                print(f"{folder} is finished and kept; overwrite=true trains it again.")
            else:
                write_config(config, folder)
                train_fold(config, prepared, fold, folder)
                finish_fold(folder)
            if prepared.test is not None and not (folder / "test.parquet").exists():
                predict_folds(config, config.run, [fold], prepared.test)


def check_settings(config: Config, folds: Sequence[int]) -> None:
    """Raises now what training would raise after minutes of preparation: about the device, the network, the run."""
    choose_device(config.train.device)
    if any(not is_begun(fold_folder(config.run, fold)) for fold in folds):
        create_network(config.model, config.data.size)
    replaced = [fold_folder(config.run, fold) for fold in folds] if config.overwrite else []
    for path in sorted((RUNS / config.run).glob("fold*/config.yaml")):
        if path.parent not in replaced:
            check_same_settings(path.parent, config)


def check_same_settings(folder: Path, config: Config) -> None:
    """All folds of a run share their settings. Raises ConfigError where this one was begun with others."""
    if not (folder / "config.yaml").exists():
        return
    differing = differing_settings(load_stored(folder / "config.yaml"), config, FREE_SETTINGS + SPEED_SETTINGS)
    if differing:
        raise ConfigError(
            f"{folder} was begun with other settings ({', '.join(differing[:5])}). "
            "Give these a run of their own with run=<name>, or set overwrite=true and name all folds of the run."
        )


def is_begun(folder: Path) -> bool:
    return (folder / "state.pt").exists() or is_finished(folder)


def clear(folder: Path) -> None:
    """Remove a fold's files; its lock stays, since this process holds it."""
    for name in ("metrics.json", "state.pt"):  # first: what a killed removal leaves then counts for nothing
        (folder / name).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_file() and path.name != ".lock":
            path.unlink()


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a fold's folder meanwhile. Raises InputError where another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise InputError(f"{folder} is being trained by another process. Wait for it, or set run=<name>.") from None


def train_fold(config: Config, prepared: Prepared, fold: int, folder: Path) -> None:
    """Train one fold to its last epoch; leaves model.safetensors, oof.parquet, state.pt and log.jsonl."""
    precision = choose_precision(config.train.precision, choose_device(config.train.device))
    if config.train.num_threads:
        torch.set_num_threads(config.train.num_threads)
    torch.manual_seed(config.seed)
    training, validation = prepared.folds.training_rows(fold), prepared.folds.validation_rows(fold)
    labels = prepared.train.labels
    pin = precision.device.type == "cuda"
    images = CachedImages(prepared.cache, training, labels(training), Augmentation(config.augment), seed=config.seed)
    order = ShuffledBatches(len(training), config.train.batch_size, config.seed)
    loader = make_training_loader(images, order, config.data.num_workers, pin)
    # going on, the weights come from state.pt: no pretrained ones are fetched
    model = replace(config.model, pretrained=False) if is_begun(folder) else config.model
    network = create_network(model, config.data.size)
    log_priors = make_log_priors(labels(training), config.train.logit_adjustment, precision.device)
    loss = partial(three_head_loss, label_smoothing=config.train.label_smoothing, log_priors=log_priors)
    trainer = make_trainer(network, config, precision, loss, num_steps=config.train.epochs * len(order))
    print(
        f"Fold {fold}: {len(training):,} images to train on, {len(validation):,} to validate; {config.model.backbone} "
        f"at {config.data.size} pixels in {str(precision.dtype)[6:]} on {precision.device}."
    )
    held_out = CachedImages(prepared.cache, validation, labels(validation))
    batches = make_validation_loader(held_out, config.train.batch_size, config.data.num_workers, pin)
    truth = Predictions(prepared.train.image_ids(validation), {}, labels(validation))
    fit(
        trainer,
        loader,
        order,
        validate=partial(validate, batches=batches, truth=truth, precision=precision),
        save_best=partial(save_best, folder=folder),
        num_epochs=config.train.epochs,
        folder=folder,
    )


def make_trainer(
    network: ThreeHeadNetwork, config: Config, precision: Precision, loss: Loss, num_steps: int
) -> Trainer:
    network = place_network(network, precision.device)
    optimizer = make_optimizer(network, config.optimizer)
    decay = config.train.ema_decay
    return Trainer(
        network=network,
        ema=ModelEmaV3(network, decay=decay, use_warmup=True) if decay else None,
        optimizer=optimizer,
        schedule=make_schedule(optimizer, config.optimizer, num_steps),
        scaler=precision.make_scaler(),
        precision=precision,
        loss=loss,
    )


def validate(
    network: nn.Module, batches: DataLoader[Batch], truth: Predictions, precision: Precision
) -> tuple[dict[str, float], Predictions]:
    """The scores over the whole fold at once, and the predictions that they were computed from."""
    parts = list(infer(network, batches, precision))
    probabilities = {name: torch.cat([part[name] for part in parts]).numpy() for name in HEAD_NAMES}
    predictions = Predictions(truth.image_ids, probabilities, truth.labels)
    assert predictions.labels is not None
    return competition_score(predictions.labels, decode(probabilities)), predictions


def save_best(network: nn.Module, predictions: Predictions, folder: Path) -> None:
    save_weights(network, folder / "model.safetensors")
    write_predictions(predictions, decode(predictions.probabilities), folder / "oof.parquet")


def finish_fold(folder: Path) -> None:
    """Score the out-of-fold table as it stands on the disk; metrics.json, written last, marks a finished fold."""
    predictions = read_predictions(folder / "oof.parquet")
    assert predictions.labels is not None
    scores = competition_score(predictions.labels, decode(predictions.probabilities))
    with replacing(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps({**scores, "num_images": len(predictions)}, indent=2) + "\n")
    print_scores({f"out of fold, {folder.name}": scores})
