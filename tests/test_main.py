"""The door, okkhor.__main__: a command by its name, and what a person is told when it can't do its work."""

import errno
import os
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
def test_the_advice_fits_the_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def refuse(_: object) -> None:
        raise OSError(number, os.strerror(number), "runs/x")

    monkeypatch.setattr(prepare, "load_config", refuse)
    found = call(tmp_path, "prepare")
    assert found.returncode == 2
    assert found.stderr.startswith(f"Files: runs/x: {os.strerror(number)}. ")
    assert advice in found.stderr


def test_one_of_several_processes_tells_what_nccl_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("NCCL error in: NCCLUtils.cpp:94\nLast error:\nError while creating shared memory segment")

    monkeypatch.setattr(prepare, "load_config", fail)
    monkeypatch.setenv("LOCAL_RANK", "1")
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
