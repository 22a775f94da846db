"""The door, okkhor.__main__: a command by its name, and what a person is told when it can't do its work."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import PROJECT, call

from okkhor.commands import prepare
from okkhor.errors import LOST_ANOTHER


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Make room"),
        (errno.EDQUOT, "Make room"),
        (errno.EACCES, "Allow this user"),
        (errno.EROFS, "can be written to"),
        (errno.ENOENT, "moved or deleted"),
        (errno.ENOTDIR, "moved or deleted"),
        (errno.EISDIR, "Move away"),
        (errno.ENAMETOOLONG, "shorter"),
        (errno.EIO, "disk"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENOMEM, "train.batch_size"),
    ],
)
def test_the_advice_fits_the_error_of_the_system(monkeypatch: pytest.MonkeyPatch, number: int, advice: str) -> None:
    def refuse(_: object) -> None:
        raise OSError(number, os.strerror(number), "runs/x")

    monkeypatch.setattr(prepare, "load_config", refuse)
    found = call(PROJECT, "prepare")
    assert found.returncode == 2
    assert found.stderr.startswith(f"Files: runs/x: {os.strerror(number)}. ")
    assert advice in found.stderr


def test_one_of_several_processes_tells_what_nccl_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("NCCL error in: NCCLUtils.cpp:94\nLast error:\nError while creating shared memory segment")

    (tmp_path / "configs").symlink_to(PROJECT / "configs")
    monkeypatch.setattr(prepare, "load_config", fail)
    monkeypatch.setattr("okkhor.__main__.was_launched", lambda: True)
    monkeypatch.setenv("RANK", "1")
    found = call(tmp_path, "prepare")
    assert found.returncode == LOST_ANOTHER
    expected = "NCCL error in: NCCLUtils.cpp:94 Last error: Error while creating shared memory segment"
    assert found.stderr == f"Process 1: {expected}\n"


def test_a_link_that_leads_nowhere_is_not_told_as_a_full_disk(tmp_path: Path) -> None:
    """As on a disk that is not mounted."""
    (tmp_path / "configs").symlink_to(PROJECT / "configs")
    (tmp_path / "input").symlink_to(tmp_path / "gone/input")
    found = call(tmp_path, "prepare", "config=smoke")
    assert found.returncode == 2
    assert "Make room" not in found.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("epochs=3", "Did you mean train.epochs?"),
        ("lr=0.1", "Did you mean optimizer.learning_rate?"),
        ("score batch_size=8", "Did you mean train.batch_size?"),
        ("train.batch-size=8", "Did you mean train.batch_size?"),
        ("folds=0", "Did you mean fold=0?"),
        ("bench model=resnet50", "Did you mean model.backbone=resnet50?"),
        ("fold 0", "Did you mean: fold=0"),
        ("train fold = 0 --epochs 5 --run=a", "Did you mean: fold=0 train.epochs=5 run=a"),
        ("ensemble runs=a,b", "Write runs=[a,b]."),
        ("fold=0,2", "Write fold=[0,2]."),
        ("fold=7", "a number from 0 to 4"),
        ("read a.png runn=x", "Did you mean run?"),
        ("train.swa_epochs=300 train.epochs=3", "train.swa_epochs=300: there are only train.epochs=3"),
    ],
)
def test_a_slip_in_the_settings_is_told_before_torch_is_imported(
    words: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As people typed it in their first hour. The commands' modules, which import torch, take 7 to 13 s."""
    for name in [name for name in sys.modules if name.startswith("okkhor.commands.")]:
        monkeypatch.delitem(sys.modules, name)
    found = call(PROJECT, *words.split())
    assert found.returncode == 2
    assert told in found.stderr
    assert not [name for name in sys.modules if name.startswith("okkhor.commands.")]


def test_help_and_version_are_answered_wherever_people_put_them(tmp_path: Path) -> None:
    helped = call(tmp_path, "help", "train")
    for words in ("train --help", "train -h", "fold=0 --help"):
        assert call(tmp_path, *words.split()).stdout == helped.stdout
    assert call(tmp_path, "--version").stdout == call(tmp_path, "version").stdout
    assert call(tmp_path, "--version").stdout.startswith("okkhor 0.")


def test_a_python_without_the_packages_is_told_what_it_lacks() -> None:
    """OKKHOR_PYTHON=/usr/bin/python3: -S leaves site-packages out."""
    environment = {"PYTHONPATH": str(PROJECT / "src"), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-S", "-m", "okkhor", "fold=0"]
    found = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert found.returncode == 2
    assert "lacks the package yaml" in found.stderr
    assert "requirements.lock" in found.stderr
    assert len(found.stderr.splitlines()) == 2


def test_a_ctrl_c_that_python_drops_in_a_weak_references_callback_comes_again() -> None:
    code = """if True:
        import os, signal, sys, time, weakref
        from okkhor.processes import send_interrupt_again

        sys.unraisablehook = send_interrupt_again
        thing = set()
        kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
        del thing
        time.sleep(60)"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert ended.stderr.endswith("line 9, in <module>\nKeyboardInterrupt\n")
    assert "ignored" not in ended.stderr
