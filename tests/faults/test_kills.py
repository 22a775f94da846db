"""Kill commands, loader workers and ranks at random moments. Each command, typed again, ends with the same bytes."""

import os
import shutil
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random

import pytest
from damage import call_told, check_told
from helpers import is_alive, wait_until
from stages import FOLD, STAGES, WEIGHTS, UndisturbedStages, end, finish, read_made, start, told

from okkhor.data import loading
from okkhor.data.loading import CachedImages

pytestmark = pytest.mark.slow

TRAIN = STAGES["train"].arguments
TWO_RANKS = (*TRAIN, "launch.processes=2", "train.epochs=12")


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", STAGES)
def test_a_command_killed_at_any_moment_and_typed_again_ends_as_if_undisturbed(
    name: str, ending: signal.Signals, undisturbed: UndisturbedStages, tmp_path: Path
) -> None:
    stage, folder = STAGES[name], undisturbed[name].copy(tmp_path / "project")
    process = start(folder, *stage.arguments)
    time.sleep(Random(f"{name} {ending}").uniform(0, undisturbed[name].seconds))
    status = end(process, ending)
    assert status in (0, -ending, 130), told(folder)
    assert "Traceback" not in told(folder)
    assert finish(start(folder, *stage.arguments)) == 0, told(folder)
    assert read_made(folder, stage) == undisturbed[name].made
    assert not list(folder.rglob("*.tmp"))


def children(process: ForkServerProcess) -> list[int]:
    """Return the ids of the process's children."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in path.read_text().split()] if path.exists() else []


def test_a_killed_loader_worker_is_told_and_the_run_can_be_trained_again(
    undisturbed: UndisturbedStages, tmp_path: Path
) -> None:
    folder = undisturbed["train"].copy(tmp_path / "project")
    process = start(folder, *TRAIN, "data.num_workers=2", "train.epochs=20")
    wait_until((folder / FOLD / "log.jsonl").exists, told=lambda: told(folder))
    workers = [n for n in children(process) if b"spawn_main" in Path(f"/proc/{n}/cmdline").read_bytes()]
    os.kill(workers[0], signal.SIGKILL)
    assert finish(process) == 2, told(folder)
    check_told(told(folder))
    assert "data.num_workers=0" in told(folder)
    shutil.rmtree(folder / FOLD)  # it began with 20 epochs
    assert finish(start(folder, *TRAIN, "data.num_workers=2")) == 0, told(folder)
    assert (folder / WEIGHTS).read_bytes() == undisturbed["train"].made[WEIGHTS]


def test_a_worker_that_hangs_is_told_after_a_while(
    undisturbed: UndisturbedStages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = undisturbed["train"].copy(tmp_path / "project")
    monkeypatch.setattr(loading, "LONGEST_WAIT", 1)
    monkeypatch.setattr(CachedImages, "read", lambda *_: time.sleep(3))
    found = call_told(folder, *TRAIN, "data.num_workers=1")
    assert found.returncode == 2
    assert "DataLoader timed out" in found.stderr
    assert "data.num_workers=0" in found.stderr


def ranks_of(launcher: ForkServerProcess) -> list[int]:
    """Return the ids of the processes that train, by rank."""
    ranks: dict[bytes, int] = {}
    for number in children(launcher):
        environment = Path(f"/proc/{number}/environ").read_bytes().split(b"\0")
        ranks |= {entry: number for entry in environment if entry.startswith(b"LOCAL_RANK=")}
    return [ranks[rank] for rank in sorted(ranks)]


def start_two_ranks(folder: Path) -> ForkServerProcess:
    """Start a fold on two ranks, or resume it, and return when it has saved a new state."""
    state = folder / FOLD / "state.pt"
    before = state.stat().st_mtime_ns if state.exists() else 0
    process = start(folder, *TWO_RANKS)
    wait_until(lambda: state.exists() and state.stat().st_mtime_ns > before, told=lambda: told(folder))
    return process


def test_a_fold_on_two_ranks_whose_rank_or_launcher_is_killed_resumes_to_the_same_weights(
    undisturbed: UndisturbedStages, tmp_path: Path
) -> None:
    folders = [undisturbed["train"].copy(tmp_path / name) for name in ("unbroken", "killed")]
    assert finish(start(folders[0], *TWO_RANKS)) == 0, told(folders[0])
    folder = folders[1]

    process = start_two_ranks(folder)
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    assert finish(process, timeout=90) == 2, told(folder)
    assert "ended by SIGKILL" in told(folder)
    check_told(told(folder))

    process = start_two_ranks(folder)
    ranks = ranks_of(process)
    assert end(process, signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: not any(map(is_alive, ranks)))

    assert finish(start(folder, *TWO_RANKS)) == 0, told(folder)
    assert "state.pt" in told(folder)
    weights = [(folder / WEIGHTS).read_bytes() for folder in folders]
    assert weights[0] == weights[1]
