"""`fit`: epoch after epoch, train, validate, keep the best weights, save the state."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from okkhor.errors import InputError
from okkhor.files import replacing
from okkhor.predictions import Predictions
from okkhor.processes import StopRequest, stop_on_signals
from okkhor.training.averaging import measure_batch_norm
from okkhor.training.checkpoint import Progress, load_state, save_state
from okkhor.training.loop import Batch, Trainer, train_epoch
from okkhor.training.monitoring import Events, open_events


class Loader(Protocol):
    """The batches of an epoch, which its number fixes, from `first_batch` on."""

    def __len__(self) -> int: ...

    def epoch(self, number: int = 0, first_batch: int = 0) -> Iterator[Batch]: ...


Scores = tuple[dict[str, float], Predictions]
"""Scores on the whole validation fold, of which `score` is maximised, and what was predicted there."""
ShouldStop = Callable[[], bool]
"""Whether a person or the system has asked for an end."""
Evaluate = Callable[[torch.nn.Module, ShouldStop], Scores | None]
"""Score a network on the validation fold; None where it was stopped between two batches."""
Save = Callable[[torch.nn.Module, Predictions, str], None]
"""Keep a network and what it predicts under a name: "" for the best, `-cycle<k>` for a snapshot."""
Prepare = Callable[[int, ShouldStop], None]
"""Prepare the images of an epoch, whose number counts from 0, before its batches."""


def fit(
    trainer: Trainer, loader: Loader, evaluate: Evaluate, save: Save, folder: Path, prepare_epoch: Prepare | None = None
) -> Progress:
    """Train to the last epoch, or until time or patience is over; from folder/state.pt where it is there.

    Writes state.pt and log.jsonl after each epoch, state.pt also before its validation and every `save_minutes`. Killed
    at any moment, the same call ends with the same weights. Raises KeyboardInterrupt after Ctrl-C or SIGTERM, when the
    state is saved; InputError where the state does not fit the data, or a loss is not finite.
    """
    progress = _find_progress(trainer, len(loader), folder / "state.pt")
    wants_events = trainer.recipe.train.tensorboard and trainer.world.is_main
    with stop_on_signals(patient=trainer.world.size > 1) as stop, open_events(folder, progress, wants_events) as events:
        run = _Fit(trainer, loader, evaluate, save, folder, prepare_epoch, progress, stop, events)
        while progress.epoch < trainer.recipe.train.epochs and not progress.is_over:
            if not run.do_epoch() or run.any_process(stop.requested):
                raise KeyboardInterrupt
    if progress.epoch < trainer.recipe.train.epochs:
        print(f"Training ended before its last epoch: {progress.ended}.")
    return progress


def _find_progress(trainer: Trainer, num_batches: int, state: Path) -> Progress:
    """Load where to resume, or begin. Raises InputError where the state fits neither the data nor other processes'."""
    progress = Progress(num_batches=num_batches)
    if state.exists():
        progress = load_state(state, trainer.parts())
        if progress.num_batches != num_batches:
            raise InputError(
                f"{state}: an epoch had {progress.num_batches} batches, now it has {num_batches}: the training images "
                "have changed. Set run=<name>, or overwrite=true."
            )
        if progress.epoch < trainer.recipe.train.epochs:
            place = "its validation" if progress.is_trained else f"batch {progress.batch + 1}"
            print(f"Going on from {state}: epoch {progress.epoch + 1}, {place}.")
    if len(set(trainer.world.gather((progress.epoch, progress.batch)))) > 1:
        raise InputError(f"{state}: not every process finds the same. All machines need one shared runs/ folder.")
    return progress


@dataclass
class _Fit:
    """What the parts of an epoch share."""

    trainer: Trainer
    loader: Loader
    evaluate: Evaluate
    save: Save
    folder: Path
    prepare_epoch: Prepare | None
    progress: Progress
    stop: StopRequest
    events: Events

    def do_epoch(self) -> bool:
        """Do what is left of an epoch. Returns False where it was stopped; the state is saved then."""
        was_trained = self.progress.is_trained
        needs_images = not was_trained or self.trainer.average is not None
        if self.prepare_epoch is not None and needs_images and not self.prepare(self.prepare_epoch):
            return False
        finished = was_trained or self.train()
        if not was_trained:
            self.save_state()
        return (not self.progress.is_trained or self.validate()) and finished

    def prepare(self, prepare_epoch: Prepare) -> bool:
        """Let the main process prepare the images; the others wait for it."""
        started = time.monotonic()
        if self.trainer.world.is_main:
            prepare_epoch(self.progress.epoch, lambda: self.stop.requested)
        if self.any_process(self.stop.requested):
            return False
        self.progress.add_seconds(time.monotonic() - started)
        return True

    def train(self) -> bool:
        """Do the batches that are left, up to a request to stop (returns False) or the end of the time."""
        settings, world, progress = self.trainer.recipe.train, self.trainer.world, self.progress
        size, first = settings.batch_size, progress.batch
        losses = train_epoch(self.trainer, self.loader.epoch(progress.epoch, first), progress.epoch, first)
        if settings.profile and world.is_main and not (trace := self.folder / "trace.json").exists():
            from okkhor.training.profiling import profile_steps  # where it is asked for

            losses = profile_steps(losses, self.trainer.precision.device, trace)
        saved = before = time.monotonic()
        with self.progress_bar() as bar:
            for loss in losses:
                progress.add_loss(loss)
                self.events.add_scalar("step/loss", loss, progress.epoch * len(self.loader) + progress.batch)
                now = time.monotonic()
                progress.add_seconds(now - before)
                before = now
                bar.update(size)
                bar.set_postfix(loss=f"{progress.mean_loss:.3f}", refresh=False)
                late = world.is_main and 0 < settings.max_minutes * 60 <= progress.all_seconds
                stops, lates = world.add([self.stop.requested, late], self.trainer.precision.device)
                if lates:
                    progress.ended = f"train.max_minutes={settings.max_minutes:g} have passed"
                if stops or lates:
                    return not stops
                if world.is_main and now - saved > settings.save_minutes * 60:
                    self.save_state()
                    saved = time.monotonic()
        return True

    def progress_bar(self) -> Any:
        settings, size = self.trainer.recipe.train, self.trainer.recipe.train.batch_size
        return tqdm(
            total=len(self.loader) * size,
            initial=self.progress.batch * size,
            desc=f"epoch {self.progress.epoch + 1}/{settings.epochs}",
            unit="image",
            disable=None if self.trainer.world.is_main else True,
            leave=False,
        )

    def validate(self) -> bool:
        """Validate, keep the weights if they are the best, write the epoch's line. Returns False where stopped."""
        trainer, progress = self.trainer, self.progress
        started = time.monotonic()
        network = self.choose_network()
        trainer.world.share_buffers(network)
        found = self.evaluate(network, lambda: self.stop.requested and not self.stop.patient)
        if found is None:
            return False
        scores, predictions = found
        progress.all_seconds += time.monotonic() - started
        is_best = scores["score"] > progress.best_score
        if is_best:
            progress.best_score, progress.best_epoch = scores["score"], progress.epoch
        cycle = trainer.recipe.snapshot_after(progress.epoch)
        line = self.describe_epoch(scores)
        progress.history.append(line)
        if trainer.world.is_main:
            if is_best:
                self.save(network, predictions, "")
            if cycle is not None:
                self.save(network, predictions, f"-cycle{cycle}")
            with replacing(self.folder / "log.jsonl") as temporary:
                temporary.write_text("".join(json.dumps(entry) + "\n" for entry in progress.history))
            self.events.add_epoch(line, len(self.loader))
        if not progress.ended and trainer.recipe.stops_early(progress.epoch, progress.best_epoch):
            progress.ended = f"train.patience={trainer.recipe.train.patience} epochs brought no better score"
        progress.start_epoch(progress.epoch + 1)
        self.save_state()  # and then the line is printed: whoever reads the output may be gone
        print("  ".join(f"{name} {value:.4g}" for name, value in line.items()), flush=True)
        return True

    def choose_network(self) -> torch.nn.Module:
        """Return the network to validate: in the last epochs the mean of the weights (SWA), where it is asked for."""
        trainer, progress = self.trainer, self.progress
        is_whole = progress.batch == len(self.loader)
        if trainer.average is None or not is_whole or not trainer.recipe.averages_after(progress.epoch):
            return trainer.best_network
        trainer.average.update_parameters(trainer.network)
        batches = (images for images, _ in self.loader.epoch(progress.epoch))
        measure_batch_norm(trainer.average.module, batches, trainer.precision)
        return trainer.average.module

    def describe_epoch(self, scores: dict[str, float]) -> dict[str, Any]:
        """Make the epoch's line of log.jsonl."""
        progress = self.progress
        return {
            "epoch": progress.epoch + 1,
            "train_loss": round(progress.mean_loss, 5),
            **({"skipped_steps": progress.skipped} if self.trainer.scaler.is_enabled() else {}),
            **{name: round(value, 5) for name, value in scores.items()},
            "learning_rate": self.trainer.schedule.get_last_lr()[0],
            "seconds": round(progress.seconds, 1),
            "images_per_second": round(progress.batch * self.trainer.recipe.train.batch_size / progress.seconds, 1),
        }

    def save_state(self) -> None:
        if self.trainer.world.is_main:
            save_state(self.folder / "state.pt", self.progress, self.trainer.parts())

    def any_process(self, value: bool) -> bool:
        return self.trainer.world.add([value], self.trainer.precision.device)[0] > 0
