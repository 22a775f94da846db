"""Signals, and processes that end with the one that started them: `stop_on_signals`, `bound_to_this_process`.

Standard library only: bound_to_this_process runs this file as a program, without the package.
"""

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAUNCHED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # environment variables, beside WORLD_SIZE
TIME_TO_ANSWER = 10  # seconds
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class StopRequest:
    """`requested` becomes true at the first signal. A second one stops the process at once, unless it is patient.

    Patient is one of several processes: Ctrl-C reaches it twice, from the terminal and from the launcher.
    """

    def __init__(self, patient: bool = False) -> None:
        self.requested = False
        self.patient = patient

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested and not self.patient:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def stop_on_signals(patient: bool = False) -> Iterator[StopRequest]:
    """Turn Ctrl-C and the other SIGNALS into a request to stop, which the block looks at."""
    request = StopRequest(patient)
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores SIGHUP
    previous = {number: signal.signal(number, request) for number in heard}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def signals_held_back(*numbers: signal.Signals) -> Iterator[None]:
    """Hold signals back until the block ends. A process that starts in the block never receives them."""
    resource_tracker.ensure_running()  # its own start, at the first process, lets SIGINT and SIGTERM through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def send_interrupt_again(lost: "sys.UnraisableHookArgs") -> None:
    """`sys.unraisablehook` that sends SIGINT again: Python drops a Ctrl-C in the callback of a weak reference."""
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
        return
    again = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT))  # seconds, so that the callback has ended
    again.daemon = True
    again.start()


@cache
def was_launched() -> bool:
    """Whether torchrun, or ./run.sh with launch.processes, started this process as one of several.

    Variables of another launcher may be left over: some are missing then, or torchrun's agent no longer answers.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) < 2 or not all(map(os.environ.get, LAUNCHED)):
        return False
    try:
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":  # else the process of rank 0 will answer
            socket.create_connection(
                (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])), TIME_TO_ANSWER
            ).close()
    except OSError:
        return False
    return True


def end_with_parent() -> None:
    """End this process as soon as its parent ends. Without it, a pool's worker would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def usable_workers(wanted: int) -> int:
    """At most the cores of one process, where torchrun has started several on this machine."""
    return min(wanted, max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def measure_peak(process: int | str = "self") -> int:
    """The most RAM that a process has held so far, bytes; 0 once it has ended. getrusage's begins with the parent's."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def bound_to_this_process(command: Sequence[str]) -> list[str]:
    """Wrap a command: Linux kills it when the thread that starts it ends, even by kill -9. Start it in the main thread.

    This file is started and becomes the command. `preexec_fn` would need no program, but may hang where threads run.
    """
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), *command]


def become(parent: int, command: list[str]) -> None:
    """Turn this process into the command, bound to its parent; not bound where the system isn't Linux."""
    import ctypes

    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before this line was reached
            return
    os.execvp(command[0], command)


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
