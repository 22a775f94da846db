"""Epoch after epoch: train, validate, keep the best weights, save the state."""

import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from tqdm import tqdm

from okkhor.errors import InputError
from okkhor.files import replacing
from okkhor.predictions import Predictions
from okkhor.processes import StopRequest, stop_on_signals
from okkhor.training.averaging import measure_batch_norm
from okkhor.training.checkpoint import Progress, load_state, save_state
from okkhor.training.loop import Batch, Trainer, train_epoch
from okkhor.training.monitoring import Events, open_events, profile_steps


class Order(Protocol):
    """The batches of an epoch, in an order that `epoch` fixes; `first_batch` is where to go on."""

    epoch: int
    first_batch: int

    def __len__(self) -> int: ...


Scores = tuple[dict[str, float], Predictions]
"""On the whole validation fold, `score` the one to maximise, and what was predicted there."""


class Validate(Protocol):
    """Scores a network. Raises KeyboardInterrupt between two batches where it should stop: all is saved before."""

    def __call__(self, network: torch.nn.Module, *, should_stop: Callable[[], bool]) -> Scores: ...


PrepareEpoch = Callable[[int, Callable[[], bool]], None]
"""Called before an epoch's batches with its number, from 0, and with what says that it should end early."""
Save = Callable[[torch.nn.Module, Predictions, str], None]
"""A network and what it predicts, to be kept under a name: "" for the best, or the cycle that it ends."""


def fit(
    trainer: Trainer,
    loader: Iterable[Batch],
    order: Order,
    validate: Validate,
    save: Save,
    folder: Path,
    prepare_epoch: PrepareEpoch | None = None,
) -> Progress:
    """Train to the last epoch, or as long as time and patience last; from folder/state.pt where it is there.

    Writes state.pt and log.jsonl after each epoch, state.pt also before its validation and every `save_minutes`. Killed
    at any moment, the same call ends with the same weights. Raises KeyboardInterrupt after Ctrl-C or SIGTERM, when all
    is saved.
    """
    state = folder / "state.pt"
    progress = _find_progress(trainer, order, state)
    wants_events = trainer.recipe.train.tensorboard and trainer.group.is_main

    def save_all() -> None:
        if trainer.group.is_main:
            save_state(state, progress, trainer.parts())

    with (
        stop_on_signals(patient=trainer.group.world_size > 1) as stop,
        open_events(folder, progress, wants_events) as events,
    ):
        check = partial(validate, should_stop=lambda: stop.requested and not stop.patient)
        while progress.epoch < trainer.recipe.train.epochs and not progress.is_over:
            interrupted, was_trained = False, progress.is_trained
            if prepare_epoch is not None and not (was_trained and trainer.average is None):
                _prepare_epoch(trainer, progress, prepare_epoch, stop)
            if not was_trained:
                interrupted = _run_epoch(trainer, loader, order, progress, state, stop, events)
                save_all()
            if progress.is_trained:
                _end_epoch(trainer, loader, order, progress, check, save, folder / "log.jsonl", events)
                save_all()  # and then it is printed: whoever reads the output may be gone
                print("  ".join(f"{name} {value:.4g}" for name, value in progress.history[-1].items()), flush=True)
            if interrupted or trainer.group.add([stop.requested], trainer.precision.device)[0]:
                raise KeyboardInterrupt
    if progress.epoch < trainer.recipe.train.epochs:
        print(f"Training ended before its last epoch: {progress.ended}.")
    return progress


def _find_progress(trainer: Trainer, order: Order, state: Path) -> Progress:
    """Where to go on, or the beginning. Raises InputError where the state does not fit the data, or each other's."""
    progress = Progress(num_batches=len(order))
    if state.exists():
        progress = load_state(state, trainer.parts())
        if progress.num_batches != len(order):
            raise InputError(
                f"{state}: an epoch had {progress.num_batches} batches, now it has {len(order)}: the training images "
                "have changed. Set run=<name>, or overwrite=true."
            )
        if progress.epoch < trainer.recipe.train.epochs:
            place = "its validation" if progress.is_trained else f"batch {progress.batch + 1}"
            print(f"Going on from {state}: epoch {progress.epoch + 1}, {place}.")
    if len(set(trainer.group.gather((progress.epoch, progress.batch)))) > 1:
        raise InputError(f"{state}: not every process finds the same. All machines need one shared runs/ folder.")
    return progress


def _prepare_epoch(trainer: Trainer, progress: Progress, prepare_epoch: PrepareEpoch, stop: StopRequest) -> None:
    """The main process prepares, the others wait for it. Raises KeyboardInterrupt where it is told to stop."""
    started = time.monotonic()
    if trainer.group.is_main:
        prepare_epoch(progress.epoch, lambda: stop.requested)
    if trainer.group.add([stop.requested], trainer.precision.device)[0]:
        raise KeyboardInterrupt
    progress.add_seconds(time.monotonic() - started)


def _run_epoch(
    trainer: Trainer,
    loader: Iterable[Batch],
    order: Order,
    progress: Progress,
    state: Path,
    stop: StopRequest,
    events: Events,
) -> bool:
    """Do the batches of the epoch that are left, up to a request to stop, which it returns, or the end of the time."""
    settings, group = trainer.recipe.train, trainer.group
    order.epoch, order.first_batch = progress.epoch, progress.batch
    size = settings.batch_size
    label = f"epoch {progress.epoch + 1}/{settings.epochs}"
    first, disable = progress.batch * size, None if group.is_main else True
    with tqdm(total=len(order) * size, initial=first, desc=label, unit="image", disable=disable, leave=False) as bar:
        before, saved = time.monotonic(), time.monotonic()
        losses = train_epoch(trainer, loader, progress.epoch, progress.batch)
        if settings.profile and group.is_main and not (trace := state.with_name("trace.json")).exists():
            losses = profile_steps(losses, trainer.precision.device, trace)
        for loss in losses:
            progress.batch += 1
            progress.loss_sum += loss
            events.add_scalar("step/loss", loss, progress.epoch * len(order) + progress.batch)
            now = time.monotonic()
            progress.add_seconds(now - before)
            before = now
            bar.update(size)
            bar.set_postfix(loss=f"{progress.loss_sum / progress.batch:.3f}", refresh=False)
            late = group.is_main and 0 < settings.max_minutes * 60 <= progress.all_seconds
            stops, lates = group.add([stop.requested, late], trainer.precision.device)
            if lates:
                progress.ended = f"train.max_minutes={settings.max_minutes:g} have passed"
            if stops or lates:
                return stops > 0
            if group.is_main and now - saved > settings.save_minutes * 60:
                save_state(state, progress, trainer.parts())
                saved = time.monotonic()
    return False


def _end_epoch(
    trainer: Trainer,
    loader: Iterable[Batch],
    order: Order,
    progress: Progress,
    validate: Callable[[torch.nn.Module], Scores],
    save: Save,
    log: Path,
    events: Events,
) -> None:
    """Validate, keep the weights if they are the best, write the line of the epoch, move on to the next."""
    started = time.monotonic()
    network = _choose_network(trainer, loader, order, progress)
    trainer.group.share_buffers(network)
    scores, predictions = validate(network)
    progress.all_seconds += time.monotonic() - started
    is_best = scores["score"] > progress.best_score
    if is_best:
        progress.best_score, progress.best_epoch = scores["score"], progress.epoch
    cycle = trainer.recipe.snapshot_after(progress.epoch)
    line = {
        "epoch": progress.epoch + 1,
        "train_loss": round(progress.loss_sum / progress.batch, 5),
        **{name: round(value, 5) for name, value in scores.items()},
        "learning_rate": trainer.schedule.get_last_lr()[0],
        "seconds": round(progress.seconds, 1),
        "images_per_second": round(progress.batch * trainer.recipe.train.batch_size / progress.seconds, 1),
    }
    progress.history.append(line)
    if trainer.group.is_main:
        if is_best:
            save(network, predictions, "")
        if cycle is not None:
            save(network, predictions, f"-cycle{cycle}")
        with replacing(log) as temporary:
            temporary.write_text("".join(json.dumps(entry) + "\n" for entry in progress.history))
        events.add_epoch(line, len(order))
    if not progress.ended and trainer.recipe.stops_early(progress.epoch, progress.best_epoch):
        progress.ended = f"train.patience={trainer.recipe.train.patience} epochs brought no better score"
    progress.start_epoch(progress.epoch + 1)


def _choose_network(trainer: Trainer, loader: Iterable[Batch], order: Order, progress: Progress) -> torch.nn.Module:
    """The network to validate: in the last epochs the mean over their ends, where that is asked for."""
    is_whole = progress.batch == len(order)
    if trainer.average is None or not is_whole or not trainer.recipe.averages_after(progress.epoch):
        return trainer.best_network
    trainer.average.update_parameters(trainer.network)
    order.epoch, order.first_batch = progress.epoch, 0
    measure_batch_norm(trainer.average.module, (images for images, _ in loader), trainer.precision)
    return trainer.average.module
