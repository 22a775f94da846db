"""Epoch after epoch: train, validate, keep the best weights, save the state."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from okkhor.files import replacing
from okkhor.predictions import Predictions
from okkhor.training.checkpoint import Progress, load_state, save_state
from okkhor.training.interrupt import StopRequest, stop_on_signals
from okkhor.training.loop import Batch, Trainer, train_epoch


class Order(Protocol):
    """The batches of an epoch, in an order that `epoch` fixes; `first_batch` is where to go on."""

    epoch: int
    first_batch: int

    def __len__(self) -> int: ...


Validate = Callable[[torch.nn.Module], tuple[dict[str, float], Predictions]]
"""A network -> its scores on the whole validation fold, `score` the one to maximise, and what it predicts there."""
SaveBest = Callable[[torch.nn.Module, Predictions], None]


def fit(
    trainer: Trainer,
    loader: DataLoader[Batch],
    order: Order,
    validate: Validate,
    save_best: SaveBest,
    num_epochs: int,
    folder: Path,
) -> Progress:
    """Train to the last epoch, from folder/state.pt where it is there.

    Writes state.pt and log.jsonl after each epoch. Raises KeyboardInterrupt after Ctrl-C or SIGTERM, with all saved.
    """
    parts: dict[str, Any] = {
        "network": trainer.network,
        "optimizer": trainer.optimizer,
        "schedule": trainer.schedule,
        "scaler": trainer.scaler,
    }
    if trainer.ema is not None:
        parts["ema"] = trainer.ema
    state = folder / "state.pt"
    progress = Progress()
    if state.exists():
        progress = load_state(state, parts, trainer.precision.device)
        print(f"Going on from {state}: epoch {progress.epoch + 1}, batch {progress.batch + 1}.")
    with stop_on_signals() as stop:
        while progress.epoch < num_epochs:
            _run_epoch(trainer, loader, order, progress, num_epochs, stop)
            ended = progress.batch == len(order)
            if ended:
                _end_epoch(trainer, progress, validate, save_best, folder / "log.jsonl")
            save_state(state, progress, parts)
            if ended:  # printed when all is saved: whoever reads the output may be gone
                print("  ".join(f"{name} {value:.4g}" for name, value in progress.history[-1].items()), flush=True)
            if stop.requested:
                raise KeyboardInterrupt
    return progress


def _run_epoch(
    trainer: Trainer, loader: DataLoader[Batch], order: Order, progress: Progress, num_epochs: int, stop: StopRequest
) -> None:
    """Do the batches of the epoch that are left, up to a request to stop."""
    order.epoch, order.first_batch = progress.epoch, progress.batch
    batch_size = getattr(loader.batch_sampler, "batch_size", 0)
    label = f"epoch {progress.epoch + 1}/{num_epochs}"
    with tqdm(
        total=len(order) * batch_size,
        initial=progress.batch * batch_size,
        desc=label,
        unit="image",
        disable=None,
        leave=False,
    ) as bar:
        started, before = time.monotonic(), progress.seconds
        for loss in train_epoch(trainer, loader):
            progress.batch += 1
            progress.loss_sum += loss
            progress.seconds = before + time.monotonic() - started
            bar.update(batch_size)
            bar.set_postfix(loss=f"{progress.loss_sum / progress.batch:.3f}", refresh=False)
            if stop.requested:
                break


def _end_epoch(
    trainer: Trainer,
    progress: Progress,
    validate: Validate,
    save_best: SaveBest,
    log: Path,
) -> None:
    """Validate, keep the weights if they are the best, write the line of the epoch, move on to the next."""
    scores, predictions = validate(trainer.best_network)
    if scores["score"] > progress.best_score:
        progress.best_score, progress.best_epoch = scores["score"], progress.epoch
        save_best(trainer.best_network, predictions)
    line = {
        "epoch": progress.epoch + 1,
        "train_loss": round(progress.loss_sum / progress.batch, 5),
        **{name: round(value, 5) for name, value in scores.items()},
        "learning_rate": trainer.schedule.get_last_lr()[0],
        "seconds": round(progress.seconds, 1),
    }
    progress.history.append(line)
    with replacing(log) as temporary:
        temporary.write_text("".join(json.dumps(entry) + "\n" for entry in progress.history))
    progress.epoch += 1
    progress.batch, progress.loss_sum, progress.seconds = 0, 0.0, 0.0
