"""A process that ends with the one that started it, however that one ends: kill -9 tells nobody.

Started as a program, by `bound_to_this_process`, it needs no more than Python itself and becomes the command that it is
given. `preexec_fn`, which would need no program, may hang where the parent has threads.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

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


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
