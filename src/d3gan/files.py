"""Writing files so that no reader sees half of one, and no crash leaves half of one."""

import errno
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from d3gan.errors import UserError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise UserError, in one line, if the system refuses to write (no space, no permission)."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write to {path}: {error.strerror or error}; "
            "free some space or choose another place; what was written before is kept"
        ) from error


def write_bytes(file: Path, data: bytes, *, flush: bool = True) -> None:
    """Write a file completely or not at all: to a temporary file that is then renamed.

    With `flush`, file and folder are on the disk when this returns, so that what the file replaces
    may be deleted. Without, a crash of the machine may lose the file; a crash of the program not.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            if flush:
                stream.flush()
                os.fsync(stream.fileno())
        _rename(temporary, file)
        if flush:
            _flush_folder(file.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_temporary(file: Path) -> None:
    """Remove the temporary files of `write_bytes` for `file`, whose name may be a pattern.

    Nobody may be writing these files.
    """
    for temporary in file.parent.glob(f".{file.name}.*.tmp"):
        if temporary.name.split(".")[-2].isdecimal():
            with suppress(OSError):
                temporary.unlink()


def write_text(file: Path, text: str, *, flush: bool = True) -> None:
    """Write text in UTF-8 as `write_bytes` does."""
    write_bytes(file, text.encode("utf-8"), flush=flush)


def touch(file: Path) -> None:
    """Set the time of a file to now, by which `d3gan cache` says when it was last used."""
    with suppress(OSError):
        os.utime(file)


def _rename(temporary: Path, file: Path) -> None:
    """Rename; on Windows, wait for up to a second while a reader has the file open."""
    for _ in range(20 if sys.platform == "win32" else 0):
        with suppress(PermissionError):
            temporary.replace(file)
            return
        time.sleep(0.05)
    temporary.replace(file)


def _flush_folder(folder: Path) -> None:
    """Flush the folder's entries to the disk, where the platform and the file system can."""
    with suppress(OSError):  # Windows opens no folder; some network file systems flush none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# Space on the disk


def reserve(stream: IO[bytes], folder: Path, size: int) -> None:
    """Reserve `size` bytes of the disk for a new file in `folder`, open at its start.

    Raises OSError that says how much is free, before anything is written, if there is too little.
    """
    try:
        if shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _allocate(stream, size)
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        free = shutil.disk_usage(folder).free
        raise OSError(
            error.errno,
            f"{error.strerror} ({size_text(size)} are needed, {size_text(free)} are free)",
        ) from error


_NO_SPACE = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""A full disk, a file larger than allowed, a used-up quota."""


def _allocate(stream: IO[bytes], size: int) -> None:
    if sys.platform == "linux":
        try:
            os.posix_fallocate(stream.fileno(), 0, max(1, size))
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
    # Elsewhere, and on file systems that cannot allocate, the blocks are written.
    zeros = bytes(2**20)
    for first in range(0, size, len(zeros)):
        stream.write(zeros[: size - first])
    stream.flush()
    stream.seek(0)


def check_space(folder: Path, size: int) -> None:
    """Raise OSError unless a new file of `size` bytes can be written to the folder."""
    with tempfile.TemporaryFile(dir=folder) as stream:
        reserve(stream, folder, size)


def size_text(size: int) -> str:
    """Return a number of bytes for people, such as "153.6 MB"."""
    if size < 1000:
        return f"{size} bytes"
    units = ("kB", "MB", "GB", "TB")
    power = min(len(units), int(math.log(size, 1000)))
    return f"{size / 1000**power:.1f} {units[power - 1]}"


# Files that other processes use


def share(stream: IO[bytes]) -> None:
    """Mark an open file as in use until it is closed, and memory maps of it too.

    POSIX only: Windows deletes no open file anyway.
    """
    if sys.platform != "win32":
        import fcntl

        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)


def is_shared(file: Path) -> bool:
    """Return whether a process, this one included, has marked the file as in use by `share`."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        with file.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
