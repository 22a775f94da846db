"""Disks that are really full or read-only, mounted in a namespace of their own: the long form alone.

test_processes.py limits the size of a file instead, which needs no mount and takes a tenth of the time.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from stages import FOLD, STAGES, Undisturbed, copy, read_made
from tries import LONG, check_told, record, times

NAMESPACE = ("unshare", "--map-root-user", "--mount")
MOUNT = "mount -t tmpfs -o size={size}k tmpfs {folder}"
ALLOWED = (
    LONG and not subprocess.run([*NAMESPACE, "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True).returncode
)
pytestmark = pytest.mark.skipif(not ALLOWED, reason="minutes, and a mount: ./run.sh test faults")


def command(arguments: Sequence[str], output: Path) -> str:
    """A line of shell that runs it, with what it says and its status in files that are on no small disk."""
    words = shlex.join([sys.executable, "-m", "okkhor", *arguments])
    return f"status=0; {words} >{output}.txt 2>&1 || status=$?; echo $status >{output}.status"


def run(lines: Sequence[str], folder: Path) -> None:
    source = str(Path(__file__).resolve().parents[2] / "src")
    environment = os.environ | {"PYTHONPATH": source}
    subprocess.run([*NAMESPACE, "sh", "-ec", "\n".join(lines)], cwd=folder, env=environment, check=True, timeout=900)


def outcome(output: Path) -> tuple[int, str]:
    return int(output.with_suffix(".status").read_text()), output.with_suffix(".txt").read_text()


@pytest.mark.parametrize("name", STAGES)
def test_a_disk_that_fills_is_told_and_with_room_the_same_command_ends_well(
    name: str, undisturbed: dict[str, Undisturbed], tmp_path: Path
) -> None:
    stage, random = STAGES[name], Random(name)
    for number in range(times(1, 4)):
        folder = copy(undisturbed[name], tmp_path / str(number))
        disk = tmp_path / f"disk{number}"
        disk.mkdir()
        before = sum(path.stat().st_blocks // 2 for path in folder.rglob("*"))  # KiB
        made = sum(len(content) for content in undisturbed[name].made.values()) // 1024
        size = int(before + 64 + random.uniform(0, 1) * made)
        outputs = [tmp_path / f"{number}-{part}" for part in ("full", "room")]
        run(
            [
                MOUNT.format(size=size, folder=disk),
                f"cp -a {folder}/. {disk}",
                f"cd {disk}",
                command(stage.arguments, outputs[0]),
                f"mount -o remount,size=4g {disk}",
                command(stage.arguments, outputs[1]),
                f"cp -a {disk}/. {folder}",
            ],
            tmp_path,
        )
        status, told = outcome(outputs[0])
        if status != 0:
            assert status == 2, told
            check_told(told)
        record(f"{name}: small disk", "told" if status else "had room")
        status, told = outcome(outputs[1])
        assert status == 0, told
        assert read_made(folder, stage) == undisturbed[name].made
        record(f"{name}: disk with room again", "same bytes")


def test_workers_need_hardly_any_room_in_dev_shm(undisturbed: dict[str, Undisturbed], tmp_path: Path) -> None:
    """Of which containers have 64 MB. Here it is 128 KB: for the semaphores alone 64 don't do."""
    stage = STAGES["train"]
    folder = copy(undisturbed["train"], tmp_path / "project")
    arguments = (*stage.arguments, "data.num_workers=2")
    run([MOUNT.format(size=128, folder="/dev/shm") + f"\n{command(arguments, tmp_path / 'small')}"], folder)
    status, told = outcome(tmp_path / "small")
    assert status == 0, told
    assert "Traceback" not in told
    weights = f"{FOLD}/model.safetensors"
    assert (folder / weights).read_bytes() == undisturbed["train"].made[weights]
    record("train: /dev/shm of 128 KB", "same weights")
