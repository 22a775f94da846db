"""How the benchmark measures: in interleaved pairs, and in processes of their own."""

import multiprocessing
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Generic, Literal, NamedTuple, TypeVar

import torch

from okkhor.processes import end_with_parent

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    sense: Literal["at least", "at most"]
    limit: float


@dataclass(frozen=True)
class Figure:
    """One line of the table. value: the median of what was measured from `lowest` to `highest`."""

    part: str
    name: str
    value: float
    unit: str
    lowest: float
    highest: float
    target: Target | None = None

    @property
    def is_met(self) -> bool | None:
        """None where there is no target."""
        if self.target is None:
            return None
        return self.value >= self.target.limit if self.target.sense == "at least" else self.value <= self.target.limit


def timer() -> float:
    """Seconds. As torch.utils.benchmark's, whose import warns wherever CUDA's compiler is without a GPU."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()  # its kernels run on after the call that started them
    return time.perf_counter()


def make_figure(part: str, name: str, values: list[float], unit: str, target: Target | None = None) -> Figure:
    return Figure(part, name, median(values), unit, min(values), max(values), target)


Run = Callable[[], int]
"""Does something to so many images (or rows), whose number it returns."""


def measure_rate(run: Run) -> float:
    """Images per second."""
    started = timer()
    number = run()
    return number / (timer() - started)


def compare(part: str, name: str, ours: Run, bare: Run, repeats: int, least: float, unit: str) -> list[Figure]:
    """The pipeline's rate, the bare one, and the share of it, whose target is `least`.

    After one of each to warm up they take turns, so that whatever else the machine does hits both alike, and each
    other pair is the other way round.
    """
    ours(), bare()
    pairs = []
    for repeat in range(repeats):
        one, other = (ours, bare) if repeat % 2 == 0 else (bare, ours)
        first, second = measure_rate(one), measure_rate(other)
        pairs.append((first, second) if repeat % 2 == 0 else (second, first))
    return [
        make_figure(part, name, [rate for rate, _ in pairs], unit),
        make_figure(part, f"{name}, bare", [rate for _, rate in pairs], unit),
        make_figure(part, f"{name}, share", [rate / most for rate, most in pairs], "", Target("at least", least)),
    ]


class Apart(NamedTuple, Generic[T]):
    """What a function gave in a process of its own. memory: the most that the process has held, bytes."""

    result: T
    seconds: float
    memory: int


def run_apart(function: Callable[..., T], *arguments: object) -> Apart[T]:
    """Call it in a fresh process, so that its memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_call, function, arguments, torch.get_num_threads()).result()


def _call(function: Callable[..., T], arguments: tuple[object, ...], num_threads: int) -> Apart[T]:
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(num_threads)
    started = timer()
    result = function(*arguments)
    return Apart(result, timer() - started, read_memory("status", "VmHWM"))


def read_memory(file: str, field: str, process: int | str = "self") -> int:
    """A field of a process's status or smaps_rollup, bytes.

    Not getrusage: its peak is handed down from a parent to what it starts.
    """
    text = Path(f"/proc/{process}/{file}").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    assert found, f"no {field} in {file}"
    return int(found[1]) * 1024
