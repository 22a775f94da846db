"""`replacing`, `replacing_folder`: files and folders appear whole or not at all. `holding`: one process at a time."""

import errno
import glob
import math
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, SoftFileLock, Timeout


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to. When the block ends without an error, the file there replaces `path`.

    The file is written beside `path`, flushed to the disk, renamed: a killed process leaves the old file or the new
    one. The next process that writes the file removes what the killed one left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = leftover.name.split(".")[-2]
        if process.isdecimal() and not is_running(int(process)):
            leftover.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    """Whether there is a process of this number, of any user."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill. When the block ends without an error, it replaces `folder`. Hold a lock meanwhile.

    A folder can't be renamed over another one: the old one is moved away first. A killed process leaves the old folder,
    the new one or none, but no part of one.
    """
    partial, old = (folder.with_name(f".{folder.name}.{end}") for end in ("tmp", "old"))
    for left in (partial, old):  # by a killed process
        shutil.rmtree(left, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for path in (*partial.rglob("*"), partial):
            sync(path)
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
        sync(folder.parent)
    finally:
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def where_allowed(path: Path) -> Iterator[None]:
    """Let the block write to a path what can be made again. Where this user may not, print so and go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        print(f"Note: {path} is not written: {os.strerror(error.errno)}.", file=sys.stderr)


def writable(folder: Path) -> Path:
    """Return the folder or, where this user may not write to it, the system's for temporary files."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return folder if os.access(there, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


@contextmanager
def holding(lock: Path) -> Iterator[None]:
    """Hold a lock file during the block. Where another process holds it, print which one, and wait for its end."""
    try:
        held = locking(lock)
    except Timeout:
        print(f"Waiting for {holder(lock)}, which holds {lock}", file=sys.stderr)
        held = locking(lock, timeout=-1)
    with held:
        yield


def locking(lock: Path, timeout: float = 0) -> AbstractContextManager[object]:
    """Hold a lock file until the end of `with`. Raises filelock.Timeout where another process does; -1 waits for ever.

    Where the file system has no flock, a file beside it, created exclusively, is the lock; a dead owner's is removed.
    """
    try:
        return FileLock(lock, timeout, mode=0o664).acquire()  # the group may hold it too, whatever the umask is
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        return SoftFileLock(lock.with_name(f"{lock.name}.held"), timeout).acquire()


def holder(lock: Path) -> str:
    """The process that holds a lock file, as Linux knows it: `process 123`, or `another process`."""
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
    """Make an .npy file for uint8 images of this shape, with all of its space on the disk."""
    np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()
    with path.open("r+b") as file:
        allocate(file.fileno(), path.stat().st_size - math.prod(shape), path.stat().st_size)


def allocate(descriptor: int, start: int, stop: int) -> None:
    """Give these bytes of a file, zeros so far, their space: a full disk is an error now, not a SIGBUS later."""
    try:
        os.posix_fallocate(descriptor, start, stop - start)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):  # EINVAL: the file system has none
            raise
        for place in range(start, stop, 2**22):
            os.pwrite(descriptor, bytes(min(2**22, stop - place)), place)
