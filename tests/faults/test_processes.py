"""Commands as processes: ended at random moments, on a full disk, without their workers, two at once.

Typed again, each ends with the very bytes of an undisturbed one.
"""

import errno
import os
import re
import shutil
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random

import pytest
from processes import end, finish, start
from stages import FOLD, SAMPLE, SETTINGS, STAGES, Undisturbed, copy, read_made, told
from tries import LONG, call, check_told, record, times

from okkhor.commands import prepare as prepare_command
from okkhor.data import batches as workers
from okkhor.data.competition import TrainSet, read_train_set
from okkhor.data.loading import CachedImages
from okkhor.rendering import sample as sample_module

# Rendering ends with the cache and the folds: in the short form it stands for both.
TRIED = [name for name in STAGES if LONG or name != "cache and folds"]


@pytest.mark.parametrize("name", TRIED)
def test_a_command_killed_at_any_moment_and_typed_again_ends_as_if_undisturbed(
    name: str, undisturbed: dict[str, Undisturbed], tmp_path: Path
) -> None:
    stage, random = STAGES[name], Random(name)
    for number in range(times(1, 30)):
        folder = copy(undisturbed[name], tmp_path / "project")
        for _ in range(random.choice(times((1,), (1, 1, 2)))):
            ending = random.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
            process = start(folder, *stage.arguments)
            time.sleep(random.uniform(0, undisturbed[name].seconds * 1.1))
            status = end(process, ending)
            text = told(folder) if (folder / "output.txt").exists() else ""
            assert status in (0, -ending, 130), f"try {number}: {ending.name}, status {status}\n{text}"
            assert "Traceback" not in text, text
            record(f"{name}: {ending.name}", "ended in time" if status == 0 else "killed")
        assert finish(start(folder, *stage.arguments)) == 0, (folder / "output.txt").read_text()
        assert read_made(folder, stage) == undisturbed[name].made, f"try {number}"
        assert not list(folder.rglob("*.tmp"))
        record(f"{name}: typed again", "same bytes")
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", [name for name in TRIED if name != "ensemble"] if LONG else ["train", "predict"])
def test_a_full_disk_is_told_and_with_room_the_same_command_ends_well(
    name: str, undisturbed: dict[str, Undisturbed], tmp_path: Path
) -> None:
    stage, random = STAGES[name], Random(name)
    sizes = sorted(len(content) for content in undisturbed[name].made.values())
    for number in range(times(1, 20)):
        folder = copy(undisturbed[name], tmp_path / str(number))
        status = finish(start(folder, *stage.arguments, largest=random.randrange(5_000, sizes[-1])))
        if status == 0:  # the largest file was there already
            record(f"{name}: full disk", "had room")
            continue
        assert status == 2, told(folder)
        check_told(told(folder))
        record(f"{name}: full disk", "told")
        assert finish(start(folder, *stage.arguments)) == 0, told(folder)
        assert read_made(folder, stage) == undisturbed[name].made
        record(f"{name}: with room again", "same bytes")
        shutil.rmtree(folder)


def children(process: ForkServerProcess) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in path.read_text().split()] if path.exists() else []


def hears_of_children(process: ForkServerProcess) -> bool:
    """Whether it handles SIGCHLD, as a loader does from when all its workers are there; before, it waits for the batch
    of a worker that was killed as long as for a slow one."""
    path = Path(f"/proc/{process.pid}/status")
    handled = re.search(r"SigCgt:\s*(\w+)", path.read_text()) if path.exists() else None
    return handled is not None and bool(int(handled[1], 16) >> (signal.SIGCHLD - 1) & 1)


def test_a_killed_loader_worker_is_told_and_typed_again_the_run_goes_on(
    undisturbed: dict[str, Undisturbed], tmp_path: Path
) -> None:
    stage = STAGES["train"]
    for number in range(times(1, 20)):
        folder = copy(undisturbed["train"], tmp_path / str(number))
        process = start(folder, *stage.arguments, "data.num_workers=2", "train.epochs=20")
        deadline = time.monotonic() + 120
        while len(workers := children(process)) < 2 or not hears_of_children(process):
            assert time.monotonic() < deadline, told(folder)
            time.sleep(0.02)
        os.kill(workers[0], signal.SIGKILL)
        assert finish(process) == 2, told(folder)
        check_told(told(folder))
        assert "Type the same again" in told(folder)
        record("train: killed loader worker", "told")
        if (folder / FOLD / "state.pt").exists():  # begun with 20 epochs; here it may begin anew
            shutil.rmtree(folder / FOLD)
        (folder / FOLD / "config.yaml").unlink(missing_ok=True)
        assert finish(start(folder, *stage.arguments, "data.num_workers=2")) == 0, told(folder)
        assert read_made(folder, stage).keys() == undisturbed["train"].made.keys()
        weights = f"{FOLD}/model.safetensors"
        assert read_made(folder, stage)[weights] == undisturbed["train"].made[weights]
        shutil.rmtree(folder)


def test_a_clock_that_jumps_changes_nothing(
    undisturbed: dict[str, Undisturbed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, random, clock = copy(undisturbed["train"], tmp_path / "project"), Random(0), time.time
    monkeypatch.setattr(time, "time", lambda: clock() + random.choice((-1e9, -3600, 0, 3600, 1e9)))
    status, _, error = call(folder, *STAGES["train"].arguments)
    assert status == 0, error
    assert read_made(folder, STAGES["train"]) == undisturbed["train"].made


def test_an_input_folder_that_vanishes_while_it_is_read_is_told(
    undisturbed: dict[str, Undisturbed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy(undisturbed["cache and folds"], tmp_path / "project")

    def read_and_lose(root: Path) -> TrainSet:
        found = read_train_set(root)
        shutil.rmtree(root)
        return found

    monkeypatch.setattr(prepare_command, "read_train_set", read_and_lose)
    status, _, error = call(folder, "prepare", *SAMPLE)
    assert status == 2
    assert "input/smoke" in error


def test_a_sample_that_is_there_needs_no_folder_that_can_be_written_to(
    undisturbed: dict[str, Undisturbed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(lock: Path) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system", str(lock))

    folder = copy(undisturbed["cache and folds"], tmp_path / "project")
    monkeypatch.setattr(sample_module, "holding", refuse)
    assert call(folder, "prepare", *SAMPLE)[0] == 0


def test_the_same_run_twice_at_once_is_trained_once(undisturbed: dict[str, Undisturbed], tmp_path: Path) -> None:
    stage = STAGES["train"]
    for number in range(times(1, 20)):
        folder = copy(undisturbed["train"], tmp_path / str(number))
        processes = [start(folder, *stage.arguments, output=f"{one}.txt") for one in range(2)]
        found = {finish(process): told(folder, f"{one}.txt") for one, process in enumerate(processes)}
        assert set(found) in ({0}, {0, 2}), found
        if 2 in found:
            check_told(found[2])
            assert re.search(r"is being trained by process \d+", found[2])
        record("the same run twice", "the second is told who" if 2 in found else "one after the other")
        assert read_made(folder, stage) == undisturbed["train"].made
        shutil.rmtree(folder)


def test_several_that_need_one_sample_one_cache_and_one_folds_file_make_it_once(
    undisturbed: dict[str, Undisturbed], tmp_path: Path
) -> None:
    """Rendering beside rendering beside training, and two folds of one run."""
    fold0, fold1 = STAGES["train"].arguments, ("train", "fold=1", *SETTINGS)
    for number in range(times(1, 10)):
        folder = copy(undisturbed["render"], tmp_path / str(number))
        commands = (STAGES["render"].arguments, fold0, fold1, STAGES["render"].arguments)
        processes = [start(folder, *command, output=f"{one}.txt") for one, command in enumerate(commands)]
        for one, process in enumerate(processes):
            assert finish(process) == 0, told(folder, f"{one}.txt")
        texts = [told(folder, f"{one}.txt") for one in range(len(commands))]
        assert sum("Waiting for process" in text for text in texts) >= 1, texts
        assert read_made(folder, STAGES["render"]) == undisturbed["render"].made
        caches = read_made(folder, STAGES["cache and folds"]).values()  # in a folder named after the time of rendering
        assert sorted(caches) == sorted(undisturbed["cache and folds"].made.values())
        weights = f"{FOLD}/model.safetensors"
        assert (folder / weights).read_bytes() == undisturbed["train"].made[weights]
        record("render, two folds, render at once", "same bytes")
        shutil.rmtree(folder)


def test_a_worker_that_sends_nothing_is_told_after_a_while(
    undisturbed: dict[str, Undisturbed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hangs: training would wait for ever."""
    folder = copy(undisturbed["train"], tmp_path / "project")
    monkeypatch.setattr(workers, "LONGEST_WAIT", 1)
    monkeypatch.setattr(CachedImages, "read", lambda *_: time.sleep(3))
    status, _, error = call(folder, *STAGES["train"].arguments, "data.num_workers=1")
    assert status == 2
    assert "DataLoader timed out" in error
    assert "data.num_workers=0" in error
