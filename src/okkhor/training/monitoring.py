"""TensorBoard's event files, for curves while training runs; log.jsonl stays the source."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from okkhor.files import replacing
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


SKIPPED_STEPS = 3  # the first ones allocate memory and choose algorithms; of the last, the profiler itself starts
TRACED_STEPS = 3
ROWS = 15  # of the table


def profile_steps(losses: Iterable[float], device: torch.device, path: Path) -> Iterator[float]:
    """The same losses; meanwhile steps are traced into the file, and what costs most is printed.

    The file is for chrome://tracing or ui.perfetto.dev. With fewer batches than SKIPPED_STEPS + TRACED_STEPS: nothing.
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
