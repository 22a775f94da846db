"""How the benchmark measures: `measure_share` in interleaved pairs, `call_apart` in a process with its own memory."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal, NamedTuple

import torch

from okkhor.processes import end_with_parent, measure_peak

Work = Callable[[], int]
"""Processes images (or rows) and returns how many."""


@dataclass(frozen=True)
class Target:
    sense: Literal["at least", "at most"]
    limit: float


@dataclass(frozen=True)
class Figure:
    """A line of the table. value: the median of the measured values; lowest, highest: their range."""

    name: str
    value: float
    unit: str
    lowest: float
    highest: float
    target: Target | None = None

    @property
    def is_met(self) -> bool | None:
        """None without a target."""
        if self.target is None:
            return None
        return self.value >= self.target.limit if self.target.sense == "at least" else self.value <= self.target.limit


def make_figure(name: str, values: list[float], unit: str, target: Target | None = None) -> Figure:
    return Figure(name, median(values), unit, min(values), max(values), target)


def read_clock() -> float:
    """Seconds, after the device has finished its work. torch.utils.benchmark's timer warns without a CUDA compiler."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()  # kernels run on after the call that started them
    return time.perf_counter()


def measure_rate(work: Work) -> float:
    """Images (or rows) per second."""
    started = read_clock()
    number = work()
    return number / (read_clock() - started)


def measure_share(name: str, ours: Work, bare: Work, repeats: int, least: float, unit: str) -> list[Figure]:
    """Measure the pipeline's rate, the rate of the bare work, and their quotient, the share.

    Both run once to warm up, then in turn, so that other load on the machine slows both alike; every second pair runs
    in reverse order. repeats: the number of pairs. least: the target of the share. unit: of both rates.
    """
    ours(), bare()
    pairs = []
    for repeat in range(repeats):
        works = (ours, bare) if repeat % 2 == 0 else (bare, ours)
        rates = [measure_rate(work) for work in works]
        pairs.append(rates if repeat % 2 == 0 else rates[::-1])
    return [
        make_figure(name, [rate for rate, _ in pairs], unit),
        make_figure(f"{name}, bare", [rate for _, rate in pairs], unit),
        make_figure(f"{name}, share", [rate / bare_rate for rate, bare_rate in pairs], "", Target("at least", least)),
    ]


class Apart(NamedTuple):
    """The result of a function in its own process, and its cost. peak_bytes: the most memory that the process held."""

    result: Any
    seconds: float
    peak_bytes: int


def call_apart(function: Callable[..., object], *arguments: object) -> Apart:
    """Call a function in a fresh process, whose memory holds nothing else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), end_with_parent) as pool:
        return pool.submit(_call, function, arguments, torch.get_num_threads()).result()


def _call(function: Callable[..., object], arguments: tuple[object, ...], num_threads: int) -> Apart:
    torch.set_num_threads(num_threads)
    started = read_clock()
    result = function(*arguments)
    return Apart(result, read_clock() - started, measure_peak())
