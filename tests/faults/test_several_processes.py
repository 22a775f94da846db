"""One fold trained by two processes, of which one is killed, or the one that started both."""

import os
import signal
import time
from pathlib import Path
from random import Random

import pytest
from processes import finish, start
from stages import FOLD, STAGES, Undisturbed, copy, told
from tries import LONG, check_told, record, times

COMMAND = (*STAGES["train"].arguments, "launch.processes=2", "train.epochs=12")
LONGEST = 90  # seconds from the kill to the end, on a busy machine


def workers_of(launcher: int) -> list[int]:
    """The processes that train, by their rank."""
    ranks: dict[bytes, int] = {}
    for number in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        environment = Path(f"/proc/{number}/environ").read_bytes().split(b"\0")
        ranks |= {entry: int(number) for entry in environment if entry.startswith(b"LOCAL_RANK=")}
    return [ranks[rank] for rank in sorted(ranks)]


def wait_for_state(folder: Path, after: int = 0) -> int:
    """Until a state is saved that is newer; returns when, in nanoseconds."""
    path, deadline = folder / FOLD / "state.pt", time.monotonic() + 240
    while not (path.exists() and path.stat().st_mtime_ns > after):
        assert time.monotonic() < deadline, told(folder)
        time.sleep(0.01)
    return path.stat().st_mtime_ns


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="a minute for each try: ./run.sh test faults")
def test_a_killed_process_of_two_is_told_soon_and_typed_again_the_run_goes_on(
    undisturbed: dict[str, Undisturbed], tmp_path: Path
) -> None:
    random, folder = Random(0), copy(undisturbed["train"], tmp_path / "unbroken")
    assert finish(start(folder, *COMMAND)) == 0, told(folder)
    unbroken = (folder / FOLD / "model.safetensors").read_bytes()
    for number in range(times(1, 10)):
        folder = copy(undisturbed["train"], tmp_path / str(number))
        process = start(folder, *COMMAND)
        saved = wait_for_state(folder)
        assert process.pid is not None
        time.sleep(random.uniform(0, 0.5))
        os.kill(random.choice(workers_of(process.pid)), signal.SIGKILL)
        killed = time.monotonic()
        assert finish(process) == 2, told(folder)
        assert time.monotonic() - killed < LONGEST
        assert "One of the 2 processes was ended by SIGKILL" in told(folder)
        check_told(told(folder))
        record("2 processes: one killed", "told")

        process = start(folder, *COMMAND)
        wait_for_state(folder, after=saved)
        assert process.pid is not None
        workers = workers_of(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        assert finish(process) == -signal.SIGKILL
        deadline = time.monotonic() + LONGEST
        while any(map(is_alive, workers)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        record("2 processes: their launcher killed", "they ended")

        assert finish(start(folder, *COMMAND)) == 0, told(folder)
        assert "Going on from" in told(folder)
        assert (folder / FOLD / "model.safetensors").read_bytes() == unbroken
        record("2 processes: typed again", "same weights")
