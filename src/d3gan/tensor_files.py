"""Cache files of tensors and plain values, verified when they are read."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from d3gan.errors import UserError
from d3gan.files import write_bytes


def read_saved(file: Path, keys: set[str]) -> dict[str, Any] | None:
    """Return what `write_saved` wrote, on the CPU; None if missing, damaged or with other keys."""
    try:
        data = file.read_bytes()
        if damaged_record(data):
            return None
        saved = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception:  # zipfile and pickle raise many types, depending on the damage
        return None
    return saved if isinstance(saved, dict) and set(saved) == keys else None


def write_saved(file: Path, saved: dict[str, Any]) -> None:
    """Write tensors and plain values completely or not at all. Raises OSError."""
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    write_bytes(file, buffer.getvalue())


@contextmanager
def keeping(what: str, folder: Path) -> Iterator[None]:
    """Raise UserError, in one line, if the system refuses to write to the cache folder."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot cache {what} in {folder}: {error}; set D3GAN_CACHE to a folder with free space"
        ) from error


def damaged_record(data: bytes) -> str | None:
    """Return the name of the first record with a wrong CRC-32 in what torch.save wrote, or None.

    Raises the errors of zipfile if `data` is not a zip archive.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.testzip()
