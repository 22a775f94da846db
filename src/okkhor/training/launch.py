"""launch: run one command in several processes by torchrun's engine."""

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

TIME_TO_SAVE = 60  # seconds that the processes have after Ctrl-C


def launch(command: str, arguments: Sequence[str], processes: int) -> None:
    """Run `command` with these arguments in several processes on this machine, which share its cores evenly.

    Raises SystemExit with the status of the process that failed, InputError if a process was killed.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes report errors themselves
    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
    settings = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="okkhor",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
        local_addr="localhost",  # else the processes look for each other by a hostname, which no DNS may know
        max_restarts=0,
        monitor_interval=0.1,
        signals_to_handle=",".join(number.name for number in SIGNALS if getsignal(number) is not SIG_IGN),
        shutdown_timeout=TIME_TO_SAVE,
    )
    program, *rest = bound_to_this_process([sys.executable, "-m", "okkhor", command, *arguments])
    try:
        elastic_launch(settings, program)(*rest)
    except ChildFailedError as error:
        # The cause: a signal (below 0), then a bug, then a told error. Last come the effects of another's end: torch's
        # SIGTERM to the remaining processes, and LOST_ANOTHER.
        statuses = (failure.exitcode for failure in error.failures.values())
        status = min(statuses, key=lambda status: (status == LOST_ANOTHER, status == -SIGTERM, status))
        if status == LOST_ANOTHER:
            why = "The network of this machine, or a GPU of theirs, failed; NCCL needs room in /dev/shm."
            raise InputError(f"The {processes} processes can't reach each other: see the lines above. {why}") from None
        if status < 0:  # a killed process has reported nothing
            raise InputError(
                f"One of the {processes} processes was ended by {Signals(-status).name}, by the system if memory "
                "ran out. Type the same command again to resume from the last saved state."
            ) from None
        raise SystemExit(status) from None
    except SignalException:
        raise KeyboardInterrupt from None
