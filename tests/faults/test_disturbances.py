"""Disturb commands: full disks, vanished folders, two at once, a loss that is not finite. No file is wrong after it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from random import Random

import pytest
import torch
from damage import call_told, check_told
from helpers import PROJECT
from stages import FOLD, SAMPLE, SETTINGS, STAGES, WEIGHTS, UndisturbedStages, finish, read_made, start, told

from okkhor.data.competition import TrainSet, read_train_set
from okkhor.training.loss import ThreeHeadLoss

pytestmark = pytest.mark.slow

TRAIN = STAGES["train"]
NAMESPACE = ("unshare", "--map-root-user", "--mount")  # its mounts are its own
MOUNT = "mount -t tmpfs -o size={size}k tmpfs {folder}"


@pytest.mark.parametrize("name", [name for name in STAGES if name != "ensemble"])
def test_a_file_that_may_not_grow_is_told_and_typed_again_the_command_ends_well(
    name: str, undisturbed: UndisturbedStages, tmp_path: Path
) -> None:
    stage, folder = STAGES[name], undisturbed[name].copy(tmp_path / "project")
    sizes = sorted(len(content) for content in undisturbed[name].made.values())
    if finish(start(folder, *stage.arguments, largest=Random(name).randrange(5_000, sizes[-1]))) != 0:
        check_told(told(folder))
        assert finish(start(folder, *stage.arguments)) == 0, told(folder)
    assert read_made(folder, stage) == undisturbed[name].made


@pytest.fixture
def _namespace() -> None:
    """Skip the test where this user may not mount a small disk."""
    if subprocess.run([*NAMESPACE, "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")


def in_namespace(lines: Sequence[str], folder: Path) -> None:
    """Run lines of shell where mounts are allowed."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src")}
    subprocess.run([*NAMESPACE, "sh", "-ec", "\n".join(lines)], cwd=folder, env=environment, check=True, timeout=900)


def shell_line(arguments: Sequence[str], output: Path) -> str:
    """Make a line of shell that runs a command and writes its output and its exit status beside the small disk."""
    words = shlex.join([sys.executable, "-m", "okkhor", *arguments])
    return f"status=0; {words} >{output}.txt 2>&1 || status=$?; echo $status >{output}.status"


def outcome(output: Path) -> tuple[int, str]:
    """Return the exit status and the output."""
    return int(output.with_suffix(".status").read_text()), output.with_suffix(".txt").read_text()


@pytest.mark.usefixtures("_namespace")
@pytest.mark.parametrize("name", ["render", "cache and folds", "train"])
def test_a_full_disk_is_told_and_with_room_the_same_command_ends_well(
    name: str, undisturbed: UndisturbedStages, tmp_path: Path
) -> None:
    stage, folder, disk = STAGES[name], undisturbed[name].copy(tmp_path / "project"), tmp_path / "disk"
    disk.mkdir()
    before = sum(path.stat().st_blocks // 2 for path in folder.rglob("*"))  # KiB
    made = sum(len(content) for content in undisturbed[name].made.values()) // 1024
    lines = [
        MOUNT.format(size=before + 64 + made // 2, folder=disk),
        f"cp -a {folder}/. {disk}",
        f"cd {disk}",
        shell_line(stage.arguments, tmp_path / "full"),
        f"mount -o remount,size=4g {disk}",
        shell_line(stage.arguments, tmp_path / "room"),
        f"cp -a {disk}/. {folder}",
    ]
    in_namespace(lines, tmp_path)
    status, text = outcome(tmp_path / "full")
    assert status == 2, text
    check_told(text)
    status, text = outcome(tmp_path / "room")
    assert status == 0, text
    assert read_made(folder, stage) == undisturbed[name].made


@pytest.mark.usefixtures("_namespace")
@pytest.mark.parametrize(("kilobytes", "expected"), [(128, 2), (8192, 0)])
def test_workers_send_batches_through_dev_shm_and_a_small_one_is_told(
    undisturbed: UndisturbedStages, tmp_path: Path, kilobytes: int, expected: int
) -> None:
    folder = undisturbed["train"].copy(tmp_path / "project")
    line = shell_line((*TRAIN.arguments, "data.num_workers=2"), tmp_path / "small")
    in_namespace([MOUNT.format(size=kilobytes, folder="/dev/shm"), line], folder)
    status, text = outcome(tmp_path / "small")
    assert status == expected, text
    assert "Traceback" not in text
    if expected:
        assert "data.num_workers=0" in text
    else:
        assert (folder / WEIGHTS).read_bytes() == undisturbed["train"].made[WEIGHTS]


def test_the_same_run_twice_at_once_is_trained_once(undisturbed: UndisturbedStages, tmp_path: Path) -> None:
    folder = undisturbed["train"].copy(tmp_path / "project")
    processes = [start(folder, *TRAIN.arguments, output=f"{number}.txt") for number in range(2)]
    found = {finish(process): told(folder, f"{number}.txt") for number, process in enumerate(processes)}
    assert set(found) in ({0}, {0, 2}), found
    if 2 in found:
        check_told(found[2])
        assert re.search(r"process \d+", found[2])
    assert read_made(folder, TRAIN) == undisturbed["train"].made


def test_commands_at_once_make_one_sample_one_cache_and_one_folds_file(
    undisturbed: UndisturbedStages, tmp_path: Path
) -> None:
    """Render twice and train two folds, all at once."""
    folder = undisturbed["render"].copy(tmp_path / "project")
    render = STAGES["render"].arguments
    commands = (render, TRAIN.arguments, ("train", "fold=1", *SETTINGS), render)
    processes = [start(folder, *command, output=f"{number}.txt") for number, command in enumerate(commands)]
    for number, process in enumerate(processes):
        assert finish(process) == 0, told(folder, f"{number}.txt")
    assert any("Waiting for process" in told(folder, f"{number}.txt") for number in range(len(commands)))
    assert read_made(folder, STAGES["render"]) == undisturbed["render"].made
    caches = read_made(folder, STAGES["cache and folds"]).values()  # the folder's name has the time of rendering in it
    assert sorted(caches) == sorted(undisturbed["cache and folds"].made.values())
    assert (folder / WEIGHTS).read_bytes() == undisturbed["train"].made[WEIGHTS]


def test_a_clock_that_jumps_changes_nothing(
    undisturbed: UndisturbedStages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, random, clock = undisturbed["train"].copy(tmp_path / "project"), Random(0), time.time
    monkeypatch.setattr(time, "time", lambda: clock() + random.choice((-1e9, -3600, 0, 3600, 1e9)))
    assert call_told(folder, *TRAIN.arguments).returncode == 0
    assert read_made(folder, TRAIN) == undisturbed["train"].made


def test_an_input_folder_that_vanishes_while_it_is_read_is_told(
    undisturbed: UndisturbedStages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = undisturbed["cache and folds"].copy(tmp_path / "project")

    def read_and_lose(root: Path, partial: bool) -> TrainSet:
        found = read_train_set(root, partial)
        shutil.rmtree(root)
        return found

    monkeypatch.setattr("okkhor.pipeline.prepared.read_train_set", read_and_lose)
    found = call_told(folder, "prepare", *SAMPLE)
    assert found.returncode == 2
    assert "input/smoke" in found.stderr


@pytest.mark.usefixtures("_namespace")
def test_a_finished_sample_needs_no_write_access(undisturbed: UndisturbedStages, tmp_path: Path) -> None:
    folder = undisturbed["cache and folds"].copy(tmp_path / "project")
    line = shell_line(("prepare", *SAMPLE), tmp_path / "output")
    in_namespace(["mount --bind input input", "mount -o remount,bind,ro input", line], folder)
    status, text = outcome(tmp_path / "output")
    assert status == 0, text


def spoil_loss(patch: pytest.MonkeyPatch, step: int, value: float) -> None:
    """Multiply the loss of this step of the process by the value."""
    plain, steps = ThreeHeadLoss.__call__, count()

    def spoilt(self: ThreeHeadLoss, *arguments: object) -> torch.Tensor:
        loss = plain(self, *arguments)  # type: ignore[arg-type]
        return loss * value if next(steps) == step else loss

    patch.setattr(ThreeHeadLoss, "__call__", spoilt)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_told_and_its_state_resumes_to_the_same_weights(
    undisturbed: UndisturbedStages, tmp_path: Path, value: float
) -> None:
    folder = undisturbed["train"].copy(tmp_path / "project")
    for step in (3, 0):  # step 3 of six, then again the first step after the resume
        with pytest.MonkeyPatch.context() as patch:
            spoil_loss(patch, step, value)
            found = call_told(folder, *TRAIN.arguments)
        assert found.returncode == 2
        assert f"The loss is {value} at step 3" in found.stderr
        assert "optimizer.learning_rate" in found.stderr
        assert all_finite(torch.load(folder / FOLD / "state.pt", weights_only=True))
        assert not (folder / FOLD / "metrics.json").exists()
    assert call_told(folder, *TRAIN.arguments).returncode == 0
    assert read_made(folder, TRAIN) == undisturbed["train"].made


def all_finite(state: object) -> bool:
    """Return whether all tensors of a nested state are finite."""
    if isinstance(state, dict):
        return all(map(all_finite, state.values()))
    return not isinstance(state, torch.Tensor) or bool(state.isfinite().all())
