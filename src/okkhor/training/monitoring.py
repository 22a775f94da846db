"""open_events: TensorBoard's curves while training runs (log.jsonl stays the source). profile_steps: a trace."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from okkhor.files import replacing
from okkhor.training.checkpoint import Progress

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SKIPPED_STEPS = 3  # the first ones allocate memory and choose algorithms; in the last the profiler itself starts
TRACED_STEPS = 3
ROWS = 15  # of the printed table


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


def profile_steps(losses: Iterable[float], device: torch.device, path: Path) -> Iterator[float]:
    """Yield the losses; meanwhile trace TRACED_STEPS steps into `path` and print what costs most.

    chrome://tracing and ui.perfetto.dev show the file. It needs SKIPPED_STEPS + TRACED_STEPS steps at least.
    """

    def report(profiler: profile) -> None:
        with replacing(path) as temporary:
            profiler.export_chrome_trace(str(temporary))
        column = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
        print(profiler.key_averages().table(sort_by=column, row_limit=ROWS, max_name_column_width=40))
        print(f"{path}: {TRACED_STEPS} steps, for chrome://tracing or ui.perfetto.dev.")

    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    steps = schedule(wait=SKIPPED_STEPS - 1, warmup=1, active=TRACED_STEPS, repeat=1)
    with profile(activities=activities, schedule=steps, on_trace_ready=report) as profiler:
        for loss in losses:
            yield loss
            profiler.step()
