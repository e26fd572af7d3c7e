"""What is computed once and kept in the cache: tensors and plain values, verified when read."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from d3gan.errors import UserError
from d3gan.runs import write_bytes


def read_saved(file: Path, keys: set[str]) -> dict[str, Any] | None:
    """What `write_saved` wrote under these keys, on the CPU; None if it is missing or damaged."""
    try:
        data = file.read_bytes()
        if damaged_part(data):
            return None
        saved = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception:  # zipfile and pickle raise whatever damage leads them to
        return None
    return saved if isinstance(saved, dict) and set(saved) == keys else None


def write_saved(file: Path, saved: dict[str, Any]) -> None:
    """Write it whole or not at all. Raises OSError."""
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    write_bytes(file, buffer.getvalue())


@contextmanager
def keeping(what: str, folder: Path) -> Iterator[None]:
    """Turn the system's refusal (no room, no permission) into one line for the user."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot keep {what} in {folder}: {error}; set D3GAN_CACHE to a folder with room"
        ) from error


def damaged_part(data: bytes) -> str | None:
    """The name of the first record whose CRC-32 differs, in what torch.save wrote.

    Torch does not check these. Raises whatever zipfile raises if it is no archive at all.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.testzip()
