"""A command in a process of its own as Kaggle would run it: without network, with so much memory and no more.

Memory is measured as the sum over the command and its children of the most that each has had in RAM (VmHWM), twenty
times a second; whatever goes beyond the limit is stopped at once. That counts the files that are mapped, libraries
among them, which Kaggle's limit leaves out. RLIMIT_DATA refuses what is asked for in one piece.

The command ends with the process that confines it, even where that one is killed.
"""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from okkhor.processes import bound_to_this_process

NO_NETWORK = ("unshare", "--map-root-user", "--net")  # a network namespace of its own, in which nothing is connected
PAUSE = 0.05  # seconds between two looks at the memory


@dataclass(frozen=True)
class Measurement:
    """What a run took. status: below 0 for a signal. exceeded: whether it was stopped for its memory.

    cpu_seconds: of all cores together; where it is less than `seconds`, the run had to wait for others.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    status: int
    exceeded: bool


def can_cut_network() -> bool:
    """Whether this system lets a person make a network namespace."""
    try:
        return subprocess.run([*NO_NETWORK, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


def run_confined(command: Sequence[str], environment: Mapping[str, str], limit: int, log: Path) -> Measurement:
    """Run it with at most `limit` bytes of memory, without network where that can be; its output goes to the log."""
    prefix = NO_NETWORK if can_cut_network() else ()
    started, cpu_before = time.monotonic(), cpu_of_children()
    peak, exceeded = 0, False
    with log.open("w") as output:
        process = subprocess.Popen(
            [*prefix, *bound_to_this_process(command)],
            env=dict(environment),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            resource.prlimit(process.pid, resource.RLIMIT_DATA, (limit, limit))
            while process.poll() is None:
                peak = max(peak, sum(map(measure_peak, descend(process.pid))))
                if peak > limit and not exceeded:
                    exceeded = True
                    os.killpg(process.pid, signal.SIGKILL)
                time.sleep(PAUSE)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    seconds, cpu_seconds = time.monotonic() - started, cpu_of_children() - cpu_before
    return Measurement(seconds, cpu_seconds, peak, process.returncode, exceeded)


def cpu_of_children() -> float:
    """Seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def descend(pid: int) -> Iterator[int]:
    """The process and all that come from it."""
    yield pid
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it, or one of its threads, has ended meanwhile
        return
    for child in " ".join(lists).split():
        yield from descend(int(child))


def measure_peak(pid: int) -> int:
    """Bytes: the most that the process has had in RAM so far; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
