"""Files appear whole or not at all, and are held by one process at a time."""

import glob
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; when the block ends well, the file there becomes `path`, else nothing changes.

    Written beside, flushed to the disk, renamed: a process that is killed leaves the old file or the new one. What it
    had written beside is removed by the next that writes the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what processes of this machine that are no more left beside a file that they were writing."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = leftover.name.split(".")[-2]
        if process.isdecimal() and not is_running(int(process)):
            leftover.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    """Whether there is a process of this number, whoever's it is."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


@contextmanager
def holding(lock: Path) -> Iterator[None]:
    """Hold a lock file meanwhile; where another process does, say which and wait. A dead one holds nothing."""
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        print(f"Waiting for {holder(lock)}, which holds {lock}", file=sys.stderr)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def holder(lock: Path) -> str:
    """Who holds a lock file, as the kernel knows it: `process 123`, or `another process`."""
    inode = str(lock.stat().st_ino)
    locks = Path("/proc/locks")
    for line in locks.read_text().splitlines() if locks.exists() else ():
        match line.split():
            case [_, "FLOCK", _, "WRITE", process, place, *_] if place.rpartition(":")[2] == inode:
                return f"process {process}"
    return "another process"


def checksum(path: Path) -> str:
    """CRC-32 of a file's content, 8 hexadecimal digits."""
    value = 0
    with path.open("rb") as file:
        while block := file.read(2**22):
            value = zlib.crc32(block, value)
    return f"{value:08x}"


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def allocate_images(path: Path, shape: tuple[int, int, int]) -> None:
    """An .npy file for images of this shape, uint8, with all of its space on the disk."""
    np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)  # a full disk is an error now, not a SIGBUS later


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to fill; when the block ends well, it becomes `folder`, which is whole at any moment, or not there.

    A folder can't be renamed over another: the old one is moved away before it is removed, and so never half there.
    """
    partial, old = (folder.with_name(f".{folder.name}.{end}") for end in ("tmp", "old"))
    for left in (partial, old):  # by a killed process
        shutil.rmtree(left, ignore_errors=True)
    try:
        yield partial
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    finally:
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)
