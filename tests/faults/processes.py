"""Commands as processes that are ended at any moment, forked from a server that has imported everything.

What a start of ./run.sh needs for its imports would make a try ten times as long; test_pipeline.py kills those.
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import traceback
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import okkhor
from okkhor.__main__ import main

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "processes",
        *(f"okkhor.commands.{name}" for name in ("train", "predict", "ensemble", "prepare", "package", "report")),
    ]
)


def run(folder: Path, arguments: Sequence[str], output: Path, largest: int) -> None:
    """What the process does: the command in this folder, as a group of its own, both outputs into a file.

    largest: bytes of a file; what is beyond ends in an error of the system, as on a full disk. -1: no limit.
    """
    os.setsid()
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, -1))
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(Path(okkhor.__file__).parents[1])  # for the processes that it starts
    multiprocessing.set_start_method("fork", force=True)  # as ./run.sh has it; a forkserver's children have their own
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with output.open("w", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        try:
            status = main(arguments)
        except BaseException:  # as Python ends: a bug, with its traceback
            traceback.print_exc()
            status = 1
        if largest < 0:
            print("peak memory, KiB:", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        os._exit(status)


def start(folder: Path, *arguments: str, output: str = "output.txt", largest: int = -1) -> ForkServerProcess:
    process = context.Process(target=run, args=(folder, arguments, folder / output, largest))
    process.start()
    return process


def finish(process: ForkServerProcess, timeout: float = 300) -> int:
    """Its exit status, below 0 for a signal."""
    process.join(timeout)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def end(process: ForkServerProcess, number: signal.Signals) -> int:
    """Send the signal to the whole group, as a terminal or the system does, and wait."""
    assert process.pid is not None
    for send in (os.killpg, os.kill):  # it may not be a group of its own yet, or have ended
        with contextlib.suppress(ProcessLookupError):
            send(process.pid, number)
            break  # one signal: a second would meet the end of what the first has ended
    return finish(process)
