"""open_events: TensorBoard's curves while training runs (log.jsonl stays the source)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from okkhor.training.checkpoint import Progress

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Events:
    """Scalars for TensorBoard; without a writer they go nowhere."""

    def __init__(self, writer: "SummaryWriter | None" = None) -> None:
        self.writer = writer

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        if self.writer is not None:
            self.writer.add_scalar(tag, value, step)

    def add_epoch(self, line: Mapping[str, Any], steps_per_epoch: int) -> None:
        """Add a line of log.jsonl at its epoch's last step."""
        for name, value in line.items():
            if name != "epoch":
                self.add_scalar(f"epoch/{name}", value, int(line["epoch"]) * steps_per_epoch)
        if self.writer is not None:
            self.writer.flush()


@contextmanager
def open_events(folder: Path, progress: Progress, wanted: bool) -> Iterator[Events]:
    """Open event files in a fold's folder. TensorBoard drops older entries of steps that a resumed run does again.

    In a run that started without events, the epochs so far are written first.
    """
    if not wanted:
        yield Events()
        return
    from torch.utils.tensorboard import SummaryWriter  # an extra, and slow to import

    is_first = not any(folder.glob("events.out.tfevents.*"))
    step = progress.epoch * progress.num_batches + progress.batch
    with SummaryWriter(folder, purge_step=step + 1) as writer:
        events = Events(writer)
        for line in progress.history if is_first else ():
            events.add_epoch(line, progress.num_batches)
        yield events
