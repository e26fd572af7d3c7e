"""Folders of image files; folders below them are the classes."""

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from d3gan.data.formats import UNSUPPORTED, is_image_name
from d3gan.data.source import Item, Source
from d3gan.errors import UserError

ARRAYS = (".npy", ".npz")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


class _Found(NamedTuple):
    """The files below a folder, without hidden ones."""

    images: list[Path]
    """Regular files with the name of an image, and links whose target is missing."""
    special: list[Path]
    """Named pipes, sockets and devices with the name of an image; reading one could hang."""
    others: list[Path]


def read_folder(folder: Path) -> Source:
    """Return all image files below `folder`; folders directly below it, if any, are the classes.

    Raises UserError if there is none.
    """
    found = _find(folder)
    if not found.images:
        raise UserError(_without_images(folder, found))
    files = sorted(found.images, key=lambda file: file.relative_to(folder).as_posix())
    classes = tuple(sorted({_class_of(file, folder) for file in files} - {""}))
    labels = {name: index for index, name in enumerate(classes)}

    def items() -> Iterator[Item]:
        for file in files:
            label = labels.get(_class_of(file, folder), -1)
            yield Item(str(file), partial(_read, file), label)

    example = folder / "cats" / files[0].name
    return Source(
        str(folder),
        files,
        len(files),
        items,
        "\n".join(_class_of(file, folder) for file in files),
        classes,
        unlabelled=""
        if classes
        else f"the images of {folder} have no labels, because they are not in subfolders; each "
        f"subfolder is a class, for example {example}",
        notes=tuple(_notes(folder, found)),
    )


def _notes(folder: Path, found: _Found) -> Iterator[str]:
    """Yield which files are left out, if a user might expect them among the images."""
    unsupported = [file for file in found.others if file.suffix.lower() in UNSUPPORTED]
    for files, why in (
        (sorted(found.special), "only regular files are read"),
        (sorted(unsupported), "Pillow does not read this format"),
    ):
        if files:
            count = "1 file is" if len(files) == 1 else f"{len(files):,} files are"
            yield f"{folder}: {count} left out because {why}; the first one is {files[0]}"


def _find(folder: Path) -> _Found:
    found = _Found([], [], [])
    try:
        for file in _files(folder, frozenset()):
            if not is_image_name(file.name):
                found.others.append(file)
            elif _may_be_read(file):
                found.images.append(file)
            else:
                found.special.append(file)
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
    return found


def _files(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Yield the files below a folder, also below links to folders, in any order.

    Hidden ones are left out, and so is a link to one of the folders `above` it.
    """
    real = folder.resolve()
    if real in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _files(Path(entry.path), above | {real})
            else:
                yield Path(entry.path)


def _may_be_read(file: Path) -> bool:
    """Return whether it is a regular file, or one that is missing or forbidden, as reading says."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return True


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        if file.is_symlink():
            raise ValueError("it is a link to a missing file") from error
        raise


def _without_images(folder: Path, found: _Found) -> str:
    """Return why a folder is refused, and what would be right."""
    start = f"{folder} holds no images and no parquet files"
    if not found.others:
        what = "its files are no regular files" if found.special else "it is empty"
        return f"{start}: {what}; images are files such as a.png or b.jpg"
    others = sorted(found.others)
    start += f" (only {len(others)} other files, such as {others[0].name})"
    for suffixes, advice in (
        (ARRAYS, "an array is named by its file"),
        (ARCHIVES, "unpack the archive"),
    ):
        if matching := [file for file in others if file.suffix.lower() in suffixes]:
            return f"{start}; {advice}: {matching[0]}"
    return (
        f"{start}; images are files such as a.png or b.jpg, in the folder itself or in folders "
        "below it"
    )


def _class_of(file: Path, folder: Path) -> str:
    parts = file.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else ""
