"""Files and folders appear whole or not at all."""

import multiprocessing
import os
import signal
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from okkhor.files import replacing, replacing_folder


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
