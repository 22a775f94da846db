"""Files and folders appear whole or not at all."""

import errno
import fcntl
import multiprocessing
import os
import signal
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from filelock import Timeout

from okkhor.files import allocate_images, holding, locking, replacing, replacing_folder, where_allowed, writable


def test_a_file_appears_when_its_block_ends_well_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.csv"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == path.parent, "a rename across file systems is no rename"
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def kill_within(block: AbstractContextManager[Path]) -> None:
    """Kill a process that is writing."""

    def die() -> None:
        with block as begun:
            begun.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    writer = multiprocessing.get_context("fork").Process(target=die)
    writer.start()
    writer.join(30)
    assert writer.exitcode == -signal.SIGKILL


def test_a_killed_process_leaves_the_old_file_and_the_next_removes_its_rest(tmp_path: Path) -> None:
    path, of_the_living, of_another = (
        tmp_path / name for name in ("a[1].csv", f".a[1].csv.{os.getppid()}.tmp", ".b.csv.1.tmp")
    )
    for file in (path, of_the_living, of_another):
        file.write_text("old")
    kill_within(replacing(path))
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 4
    with replacing(path) as temporary:
        temporary.write_text("whole")
    assert set(tmp_path.iterdir()) == {path, of_the_living, of_another}


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_is_replaced_when_its_block_ends_well_and_kept_otherwise(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "new" / "package"
    if exists:
        folder.mkdir(parents=True)
        (folder / "old.txt").touch()

    def write(fails: bool) -> None:
        with replacing_folder(folder) as partial:
            (partial / "deep").mkdir()
            (partial / "deep/new.txt").write_text("whole")
            assert folder.exists() == exists
            if fails:
                raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        write(fails=True)
    assert [path.name for path in folder.parent.rglob("*")] == (["package", "old.txt"] if exists else [])
    write(fails=False)
    assert [path.name for path in folder.parent.rglob("*")] == ["package", "deep", "new.txt"]


def test_a_killed_process_leaves_the_old_folder_and_the_next_removes_its_rest(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    kill_within(replacing_folder(folder))
    assert len(list(tmp_path.iterdir())) == 2
    with replacing_folder(folder) as partial:
        assert not any(partial.iterdir())
    assert list(tmp_path.iterdir()) == [folder]


def refuse(monkeypatch: pytest.MonkeyPatch, module: object, name: str, number: int) -> None:
    """Let a call of the system fail with this number; 0: let it work."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    if number:
        monkeypatch.setattr(module, name, fail)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, 0])
@pytest.mark.filterwarnings("ignore:flock not supported")
def test_one_process_holds_a_lock_without_flock_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """NFS without its lock service, some FUSE: a lock waited for ever or ended in a traceback. The group has rights."""
    refuse(monkeypatch, fcntl, "flock", number)
    lock, before = tmp_path / "a.lock", os.umask(0o022)
    with holding(lock), pytest.raises(Timeout):
        locking(lock)
    os.umask(before)
    assert number == errno.ENOSYS or lock.stat().st_mode & 0o777 == 0o664
    with locking(lock):  # it was released
        pass


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, 0])
def test_images_get_their_space_without_fallocate_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse(monkeypatch, os, "posix_fallocate", number)
    allocate_images(tmp_path / "a.npy", (3, 1000, 2000))
    assert np.load(tmp_path / "a.npy", allow_pickle=False).shape == (3, 1000, 2000)
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 3 * 1000 * 2000


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_what_can_be_made_again_is_not_written_where_the_user_may_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A second user scores, reads and predicts with a run that is not theirs, or that lies on a read-only disk."""
    refuse(monkeypatch, os, "fsync", number)
    with pytest.raises(OSError, match="space") if number == errno.ENOSPC else nullcontext():
        with where_allowed(tmp_path / "a.json"), replacing(tmp_path / "a.json") as temporary:
            temporary.touch()
        assert f"a.json is not written: {os.strerror(number)}." in capsys.readouterr().err
    assert writable(tmp_path / "new") == tmp_path / "new"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert writable(tmp_path / "new") == Path(tempfile.gettempdir())
