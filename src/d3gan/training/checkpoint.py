"""Checkpoints: written whole or not at all, verified when read.

The file is what torch.save writes, a zip archive with a CRC-32 of every record. Torch does not
check these; we do. The content is tensors and plain values alone, so `weights_only=True` suffices.
"""

import io
import sys
from pathlib import Path
from typing import Any

import torch

from d3gan.errors import UserError
from d3gan.runs import RunFolder, numbered, write_bytes, writing
from d3gan.tensor_files import damaged_part
from d3gan.training import distributed

FORMAT = 1


class BrokenCheckpoint(Exception):
    """The file is no sound checkpoint."""


def save_checkpoint(run: RunFolder, saved: dict[str, Any], keep: int) -> Path:
    """Write `saved` (with its "step") as the run's newest checkpoint and drop all but `keep`.

    Raises UserError, with every older checkpoint untouched, if it cannot be written.
    """
    file = run.checkpoint_file(saved["step"])
    write_checkpoint(file, saved)
    with writing(file):
        for old in _newest_first(run)[keep:]:
            old.unlink()
    return file


def write_checkpoint(file: Path, saved: dict[str, Any]) -> None:
    """Write `saved` whole or not at all. Raises UserError."""
    buffer = io.BytesIO()  # the writer of torch.save tells a full disk with a RuntimeError
    torch.save({"format": FORMAT, **saved}, buffer)
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, buffer.getvalue())


def read_checkpoint(file: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU. Raises BrokenCheckpoint."""
    try:
        data = file.read_bytes()
        if damaged := damaged_part(data):
            raise BrokenCheckpoint(f"checksum of {damaged} differs")
        saved = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except BrokenCheckpoint:
        raise
    except Exception as error:  # zipfile and pickle raise whatever damage leads them to
        raise BrokenCheckpoint(f"{type(error).__name__}: {error}") from error
    if not isinstance(saved, dict) or saved.get("format") != FORMAT or "step" not in saved:
        raise BrokenCheckpoint(f"not a checkpoint of format {FORMAT}")
    return saved


def newest_checkpoint(run: RunFolder) -> dict[str, Any] | None:
    """The newest sound checkpoint's content, or None if none was ever written.

    A broken one is reported on stderr, and the one before it is taken. Raises UserError if all
    are broken.
    """
    files = _newest_first(run)
    for file in files:
        try:
            return read_checkpoint(file)
        except BrokenCheckpoint as error:
            if distributed.is_main():
                print(f"d3gan: warning: broken checkpoint {file} ({error})", file=sys.stderr)
    if files:
        raise UserError(f"all checkpoints in {run.checkpoints} are broken; train the run anew")
    return None


def _newest_first(run: RunFolder) -> list[Path]:
    return numbered(run.checkpoints, "pt")[::-1]
