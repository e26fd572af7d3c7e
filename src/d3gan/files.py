"""Writing files so that no reader sees half of one, and no crash leaves half of one."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
