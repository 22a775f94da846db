"""TensorBoard's event files, for curves while training runs; log.jsonl stays the source."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from okkhor.training.checkpoint import Progress


class Events(Protocol):
    """What is used of torch's SummaryWriter."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...

    def flush(self) -> None: ...


class NoEvents:
    """Where none are asked for."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...

    def flush(self) -> None: ...


@contextmanager
def open_events(folder: Path, progress: Progress, wanted: bool) -> Iterator[Events]:
    """Event files in a fold's folder, from where training stands.

    What a killed run wrote of later steps, which are done again, TensorBoard leaves out. Where the run was begun
    without events, its epochs so far are written first.
    """
    if not wanted:
        yield NoEvents()
        return
    from torch.utils.tensorboard import SummaryWriter  # an extra, and slow to import

    is_first = not any(folder.glob("events.out.tfevents.*"))
    step = progress.epoch * progress.num_batches + progress.batch
    with SummaryWriter(folder, purge_step=step + 1) as events:
        for line in progress.history if is_first else ():
            add_epoch(events, line, progress.num_batches)
        yield events


def add_epoch(events: Events, line: Mapping[str, Any], steps_per_epoch: int) -> None:
    """A line of log.jsonl, at the step that ended its epoch, or would have."""
    for name, value in line.items():
        if name != "epoch":
            events.add_scalar(f"epoch/{name}", value, int(line["epoch"]) * steps_per_epoch)
    events.flush()
