"""Files appear whole or not at all."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from okkhor.files import replacing


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


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")

    def die() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    writer = multiprocessing.get_context("fork").Process(target=die)
    writer.start()
    writer.join(30)
    assert writer.exitcode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_two_processes_write_beside_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    def write(text: str) -> None:
        for _ in range(20):
            with replacing(path) as temporary:
                temporary.write_text(text * 1000)

    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write, args=(text,)) for text in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert path.read_text() in ("a" * 1000, "b" * 1000)
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a[1].csv"
    dead = multiprocessing.get_context("fork").Process(target=int)
    dead.start()
    dead.join(30)
    left, of_the_living, of_another = (
        tmp_path / name for name in (f".{path.name}.{dead.pid}.tmp", f".{path.name}.{os.getppid()}.tmp", ".b.csv.1.tmp")
    )
    for leftover in (left, of_the_living, of_another):
        leftover.write_text("half")
    with replacing(path) as temporary:
        temporary.write_text("whole")
    assert set(tmp_path.iterdir()) == {path, of_the_living, of_another}
