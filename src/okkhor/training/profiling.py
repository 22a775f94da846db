"""profile_steps: where the time of a training step goes, as a table and a trace (train.profile)."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from okkhor.files import replacing

SKIPPED_STEPS = 3  # the first ones allocate memory and choose algorithms; in the last the profiler itself starts
TRACED_STEPS = 3
ROWS = 15  # of the printed table


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
