"""Ctrl-C, SIGTERM and a closed terminal stop training between two steps, when the state is saved, or in validation."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """`requested` becomes true at the first signal; a second one, or one in `heard_at_once`, stops the process at once.

    patient: it does not. One of several processes gets Ctrl-C twice: from the terminal and from the launcher.
    """

    def __init__(self, patient: bool = False) -> None:
        self.requested = False
        self.patient = patient
        self.urgent = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        stops = (self.requested or self.urgent) and not self.patient
        self.requested = True
        if stops:
            raise KeyboardInterrupt

    @contextmanager
    def heard_at_once(self) -> Iterator[None]:
        """Around what may stop anywhere."""
        self.urgent = True
        try:
            if self.requested and not self.patient:
                raise KeyboardInterrupt
            yield
        finally:
            self.urgent = False


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
