"""Files of tensors and plain values, written completely or not at all, and verified when read.

A file is what torch.save writes, a zip archive with a CRC-32 of every record, which torch does not
verify when it loads one. It is loaded with `weights_only=True`.
"""

import io
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from d3gan.errors import UserError
from d3gan.files import touch, write_bytes


class BrokenFile(Exception):
    """The file is missing, damaged, or holds something else. The message has one line."""


def read_tensors(file: Path) -> Any:
    """Return what `write_tensors` wrote, with tensors on the CPU.

    Raises BrokenFile, and UserError if the system denies access, which says nothing of the content.
    """
    try:
        data = file.read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
        if damaged is None:
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except pickle.UnpicklingError as error:  # its message proposes to run the code in the file
        raise BrokenFile("it holds objects other than tensors and plain values") from error
    except Exception as error:  # zipfile and pickle raise many types, depending on the damage
        first = next(iter(str(error).splitlines()), "no details")
        raise BrokenFile(f"{type(error).__name__}: {first}") from error
    raise BrokenFile(f"the checksum of {damaged} is wrong")


def write_tensors(file: Path, saved: dict[str, Any]) -> None:
    """Write tensors and plain values completely or not at all. Raises OSError."""
    buffer = io.BytesIO()  # writing to a full disk, torch.save would raise RuntimeError
    torch.save(saved, buffer)
    write_bytes(file, buffer.getvalue())


def read_cached(file: Path, keys: set[str]) -> dict[str, Any] | None:
    """Return the content of a cache file; None if it is unreadable or has other keys."""
    try:
        saved = read_tensors(file)
    except (BrokenFile, UserError):
        return None
    if not isinstance(saved, dict) or set(saved) != keys:
        return None
    touch(file)
    return saved


@contextmanager
def keeping(what: str, folder: Path) -> Iterator[None]:
    """Raise UserError, in one line, if the system refuses to write to the cache folder."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot cache {what} in {folder}: {error.strerror or error}; free some space (d3gan "
            "cache), or set the environment variable D3GAN_CACHE to another folder"
        ) from error
