"""Files that commands write where the user says: those of others are never replaced.

A file is d3gan's own if its content says so, whatever its name is: pictures, arrays, exports and
pages carry a mark that other programs ignore.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from d3gan.errors import UserError

MARK = "d3gan"
"""Name of the program in the files that it writes: Software of a PNG, comment of an .npz, metadata
of a .safetensors, producer of an .onnx, generator of a page."""
NUMBERED = re.compile(r"\d{6,}\.png")
"""Names of pictures that are written one by one."""
IMAGES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
    | {".npy", ".npz", ".parquet"}
)
"""Suffixes of files that training data consists of."""
HEAD_BYTES = 4096


def _in_head(text: bytes) -> Callable[[bytes, bytes], bool]:
    return lambda head, tail: text in head


_OWN: dict[str, Callable[[bytes, bytes], bool]] = {
    ".png": _in_head(b"tEXtSoftware\0" + MARK.encode()),
    ".npz": lambda head, tail: tail.endswith(MARK.encode()),
    ".safetensors": _in_head(b'"__metadata__":{"classes":'),
    ".onnx": lambda head, tail: MARK.encode() in head[:64],
    ".html": _in_head(f'<meta name="generator" content="{MARK}">'.encode()),
}
"""By suffix, whether the first and the last bytes are those of a file of ours."""


def is_own(file: Path) -> bool:
    """Return whether d3gan wrote the file; False if it cannot be read."""
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - len(MARK)))
            tail = stream.read()
    except OSError:
        return False
    own = _OWN.get(file.suffix)
    return own is not None and own(head, tail)


def check_replaceable(file: Path, *, overwrite: bool | None = None) -> None:
    """Raise UserError if the file exists and d3gan did not write it, unless `overwrite` is set.

    None means that the command has no such flag.
    """
    if overwrite or not file.is_file() or not file.stat().st_size or is_own(file):
        return
    hint = "move it away" if overwrite is None else "replace it with --overwrite"
    raise UserError(
        f"output = '{file}': the file exists, and d3gan did not write it; choose another name, or "
        f"{hint}"
    )


def check_picture_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise UserError if numbered pictures may not be written into the folder.

    It must be new or empty, hidden files aside. With `overwrite`, pictures that d3gan wrote there
    are replaced, but a folder of other images may be training data and is never written to.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"output = '{folder}': is a file; name a folder for the images")
    names = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    if names and not overwrite:
        raise UserError(
            f"output = '{folder}': the folder is not empty ({names[0]} ...); choose another one, "
            "or replace the images that d3gan wrote there with --overwrite"
        )
    other = next((file for file in _images_in(folder) if not _is_own_numbered(file)), None)
    if other:
        raise UserError(
            f"output = '{folder}': holds images that d3gan did not write there ({other}), perhaps "
            "training data; choose another folder"
        )


def remove_numbered(folder: Path, first: int) -> None:
    """Remove the numbered pictures of d3gan in the folder from the number `first` on."""
    for file in folder.iterdir():
        if _is_own_numbered(file) and int(file.stem) >= first:
            file.unlink()


def _is_own_numbered(file: Path) -> bool:
    return NUMBERED.fullmatch(file.name) is not None and is_own(file)


def _images_in(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            if Path(name).suffix.lower() in IMAGES:
                yield Path(parent, name)
