"""Ctrl-C at a better time."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
