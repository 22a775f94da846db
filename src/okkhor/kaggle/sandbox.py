"""`run_in_sandbox`: a command without network and with limited memory, as on Kaggle.

Memory is the sum, over the command and its children, of each one's peak in RAM (VmHWM), read twenty times a second. A
command above the limit is killed at once. The sum counts mapped files, such as libraries; Kaggle's limit doesn't.
RLIMIT_DATA refuses a single allocation above the limit. The command ends with the process that started it, even if
that is killed.
"""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from okkhor.processes import bound_to_this_process, measure_peak

NO_NETWORK = ("unshare", "--map-root-user", "--net")  # a network namespace in which nothing is connected
PAUSE = 0.05  # seconds between two looks at the memory


class Measurement(NamedTuple):
    """What a command took. status: below 0 for a signal, such as SIGKILL for a peak above the limit."""

    seconds: float
    peak_bytes: int
    status: int


def can_cut_network() -> bool:
    """Whether this system lets a person make a network namespace."""
    try:
        return subprocess.run([*NO_NETWORK, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


def run_in_sandbox(command: Sequence[str], environment: Mapping[str, str], limit: int, log: Path) -> Measurement:
    """Run a command with at most `limit` bytes of memory, without network if the system allows it. log: its output."""
    prefix = NO_NETWORK if can_cut_network() else ()
    started, peak = time.monotonic(), 0
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
                if peak > limit:
                    os.killpg(process.pid, signal.SIGKILL)
                time.sleep(PAUSE)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return Measurement(time.monotonic() - started, peak, process.returncode)


def descend(pid: int) -> Iterator[int]:
    """The process and all its descendants."""
    yield pid
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # the process, or one of its threads, has ended meanwhile
        return
    for child in " ".join(lists).split():
        yield from descend(int(child))


def last_line(output: str) -> str:
    """The last line of a program's output: of a traceback, the error."""
    return (output.strip() or "no output").splitlines()[-1][:200]
