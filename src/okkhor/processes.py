"""A process that ends with the one that started it, however that one ends: kill -9 tells nobody.

Started as a program, by `bound_to_this_process`, it needs no more than Python itself and becomes the command that it is
given. `preexec_fn`, which would need no program, may hang where the parent has threads.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def bound_to_this_process(command: Sequence[str]) -> list[str]:
    """The command, to be started from the main thread: Linux kills it when the thread that started it has ended."""
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), *command]


def become(parent: int, command: list[str]) -> None:
    """Turn this process into the command, bound to its parent. On another system than Linux: not bound."""
    import ctypes

    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before this line was reached
            return
    os.execvp(command[0], command)


@contextmanager
def signals_held_back(*numbers: signal.Signals) -> Iterator[None]:
    """Block signals until the end of the block; a process that starts in it never hears them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Wait for the parent's end, then end this process: a pool's worker would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """A Ctrl-C in the block is heard at its end.

    By a handler: blocked in this thread alone, the signal comes by another, such as OpenBLAS starts with numpy.
    """
    if threading.current_thread() is not threading.main_thread():  # it is only the main thread that hears one
        yield
        return
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if heard:
            signal.raise_signal(signal.SIGINT)


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """`requested` becomes true at the first signal; a second one stops the process at once.

    patient: it does not. One of several processes gets Ctrl-C twice: from the terminal and from the launcher.
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
    request = StopRequest(patient)
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores one
    previous = {number: signal.signal(number, request) for number in heard}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
