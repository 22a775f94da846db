"""Several processes for one command, by torchrun's engine; each of them runs the command again, as one of the group."""

import logging
import os
import sys
from collections.abc import Sequence
from signal import SIG_IGN, SIGTERM, Signals, getsignal

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from okkhor.errors import LOST_ANOTHER, InputError
from okkhor.processes import SIGNALS, bound_to_this_process

TIME_TO_SAVE = 60  # seconds that processes have after Ctrl-C


def launch(command: str, arguments: Sequence[str], processes: int) -> None:
    """Run `command` with these arguments in so many processes on this machine, each with its share of the cores.

    Raises SystemExit with the status of the process that failed, InputError where one was killed.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes tell it themselves
    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
    settings = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="okkhor",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
        max_restarts=0,
        monitor_interval=0.1,
        signals_to_handle=",".join(number.name for number in SIGNALS if getsignal(number) is not SIG_IGN),
        shutdown_timeout=TIME_TO_SAVE,
    )
    program, *rest = bound_to_this_process([sys.executable, "-m", "okkhor", command, *arguments])
    try:
        elastic_launch(settings, program)(*rest)
    except ChildFailedError as error:
        status = min((failure.exitcode for failure in error.failures.values()), key=rank_cause)
        if status == LOST_ANOTHER:
            raise InputError(f"The {processes} processes do not reach each other on this machine's network.") from None
        if status < 0:  # which has told nothing itself
            raise InputError(
                f"A process of the {processes} was ended by {Signals(-status).name}, by the system if memory "
                "ran out. Type the same again to go on from the last saved state."
            ) from None
        raise SystemExit(status) from None
    except SignalException:
        raise KeyboardInterrupt from None


def rank_cause(status: int) -> tuple[bool, bool, int]:
    """A signal, which is below 0, comes before a bug and what was told.

    What follows from another's end comes last: torch's SIGTERM to those that are left, and LOST_ANOTHER.
    """
    return status == LOST_ANOTHER, status == -SIGTERM, status
