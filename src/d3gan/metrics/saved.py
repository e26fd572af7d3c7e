"""What is computed once and kept in the cache: tensors and plain values."""

import io
from pathlib import Path
from typing import Any

import torch

from d3gan.runs import write_bytes


def read_saved(file: Path) -> dict[str, Any] | None:
    """What `write_saved` wrote, on the CPU; None if it is missing or damaged."""
    try:
        saved: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # zipfile and pickle raise whatever damage leads them to
        return None
    return saved


def write_saved(file: Path, saved: dict[str, Any]) -> None:
    """Write it whole or not at all. Raises OSError."""
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    write_bytes(file, buffer.getvalue())
