"""What the system refuses is told with the file, the system's own words, and advice that fits."""

import errno
import os
from pathlib import Path

import pytest
from tries import call

from okkhor.commands import prepare


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
def test_advice_fits_what_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def refuse(_: object) -> None:
        raise OSError(number, os.strerror(number), "runs/x")

    monkeypatch.setattr(prepare, "load_config", refuse)
    status, _, told = call(tmp_path, "prepare")
    assert status == 2
    assert told.startswith(f"Files: runs/x: {os.strerror(number)}. ")
    assert advice in told
    assert ("Make room" in told) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_a_link_that_leads_nowhere_is_no_full_disk(tmp_path: Path) -> None:
    """The folder of runs on a disk that is not mounted."""
    (tmp_path / "configs").symlink_to(Path(__file__).resolve().parents[2] / "configs")
    (tmp_path / "input").symlink_to(tmp_path / "gone/input")
    status, _, told = call(tmp_path, "prepare", "config=smoke")
    assert status == 2
    assert "Make room" not in told
