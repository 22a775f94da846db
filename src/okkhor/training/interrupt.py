"""Ctrl-C, SIGTERM and a closed terminal stop training between two steps, where the state can be saved, or two
batches of validation."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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
