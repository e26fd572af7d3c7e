"""Images given from Python, stored in the cache by their content, so that runs find them again.

`store_images` writes them once to ``in-memory/DIGEST`` in the cache and returns the name
``in-memory:DIGEST``, which `data.source` then is. It depends on the images, labels and names of
classes alone, so the same images have the same name on every machine.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from d3gan.data.locations import cache_folder
from d3gan.data.pixels import CHANNELS, Labelled, read_item, read_label, read_pixels, to_numpy
from d3gan.data.source import Item, Source
from d3gan.errors import UserError
from d3gan.files import writing
from d3gan.images import Images
from d3gan.progress import progress_bar

IN_MEMORY = "in-memory:"
AGAIN = "d3gan.train(RUN, data=IMAGES)"
"""How a run gets its images back."""
DIGITS = 16
"""Length of the digest in the name."""
BLOCK = 2**24
"""Bytes that are hashed at once."""


@runtime_checkable
class Dataset(Protocol):
    """A data set with numbered items, such as `torch.utils.data.Dataset` or a list.

    An item is an image, a pair (image, label), or a mapping with the keys "image" and "label".
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class _Stored(NamedTuple):
    """What is stored beside the pixels."""

    shapes: npt.NDArray[np.int64]
    """[M, 3]: height, width and channels of each image."""
    labels: npt.NDArray[np.int64]
    """[M]"""
    class_names: list[str]
    sha256: str


def store_images(data: Any) -> str:
    """Store images in the cache unless they are there, and return the name of their source.

    `data` is a `Dataset`, an array [M, H, W], [M, H, W, C] or [M, C, H, W], or a tuple of such an
    array and labels [M]. Its attribute ``classes``, if it has one, are the names of the classes.
    Raises UserError.
    """
    items, number, names = _items(data)
    folder = cache_folder() / "in-memory"
    temporary = folder / f"{os.getpid()}.tmp"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with writing(folder), FileLock(f"{folder}.lock"):
        for stale in folder.glob("*.tmp"):  # of a process that was killed
            shutil.rmtree(stale, ignore_errors=True)
        temporary.mkdir()
        try:
            digest = _write(items, number, names, temporary)
            stored = folder / digest[:DIGITS]
            if _read(stored) is None:
                shutil.rmtree(stored, ignore_errors=True)
                temporary.rename(stored)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return f"{IN_MEMORY}{digest[:DIGITS]}"


def stored_source(source: str, split: str) -> Source:
    """Return the images that `store_images` stored under a name. Raises UserError."""
    if split != "train":
        raise UserError(f"{source} has no split '{split}'; splits: train")
    folder = cache_folder() / "in-memory" / source.removeprefix(IN_MEMORY)
    stored = _read(folder) if source.removeprefix(IN_MEMORY).isalnum() else None
    if stored is None:
        raise UserError(
            f"data.source = {source}: these images were given from Python and are no longer in the "
            f"cache {folder.parent}; give them again: {AGAIN}"
        )
    shapes, labels, names, digest = stored

    def items() -> Iterator[Item]:
        pixels = np.memmap(folder / "pixels.bin", np.uint8, mode="r")
        if _digest(pixels, shapes, labels, names) != digest:
            del pixels  # Windows deletes no open file
            shutil.rmtree(folder, ignore_errors=True)
            raise UserError(f"{source}: the stored images are damaged; give them again: {AGAIN}")
        end = 0
        for number, (shape, label) in enumerate(zip(shapes, labels, strict=True)):
            start, end = end, end + int(shape.prod())
            read = partial(np.reshape, pixels[start:end], tuple(shape))
            yield Item(f"{source}[{number}]", read, int(label))

    return Source(source, [], len(labels), items, class_names=tuple(names), digest=digest)


def _items(data: Any) -> tuple[Iterator[Labelled], int, list[str]]:
    """Return images with labels, their number, and the names of classes. Raises UserError."""
    labels = None
    if isinstance(data, tuple) and len(data) == 2 and np.ndim(to_numpy(data[1])) == 1:
        data, labels = data[0], to_numpy(data[1])
    array = to_numpy(data)
    if isinstance(array, np.ndarray):
        if array.ndim not in (3, 4) or (array.ndim == 3 and array.shape[-1] in CHANNELS):
            raise UserError(
                f"data is an array {list(array.shape)}; many images are [M, H, W], [M, H, W, C] or "
                "[M, C, H, W]"
            )
        data = array
    elif not isinstance(data, Dataset) or isinstance(data, str | bytes):
        raise UserError(
            f"data is of type {type(data).__name__}; it must be a Dataset with a length, an array "
            "of images, a tuple (images, labels), a folder, or a name"
        )
    if not len(data):
        raise UserError("data holds no images")
    if labels is not None:
        if len(labels) != len(data):
            raise UserError(f"data has {len(data)} images and {len(labels)} labels")
        return _pairs(data, labels), len(data), []
    names = getattr(data, "classes", None)
    known = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return _each(data), len(data), list(names) if known and names else []


def _pairs(images: Dataset, labels: Sequence[Any]) -> Iterator[Labelled]:
    for i in range(len(images)):
        where = f"data[{i}]"
        yield Labelled(read_pixels(images[i], where), read_label(labels[i], where=where))


def _each(data: Dataset) -> Iterator[Labelled]:
    for i in range(len(data)):
        yield read_item(data[i], f"data[{i}]")


def _write(items: Iterator[Labelled], number: int, names: list[str], folder: Path) -> str:
    """Write images into the folder, and return the digest of what was written."""
    shapes, labels = [], []
    with (
        (folder / "pixels.bin").open("wb") as stream,
        progress_bar("reading images", number) as bar,
    ):
        for pixels, label in items:
            stream.write(np.ascontiguousarray(pixels).data)
            shapes.append(pixels.shape)
            labels.append(label)
            bar.advance()
    arrays = np.array(shapes, np.int64), np.array(labels, np.int64)
    written = np.memmap(folder / "pixels.bin", np.uint8, mode="r")
    digest = _digest(written, *arrays, names)
    del written  # Windows renames no folder with an open file
    for name, array in zip(("shapes", "labels"), arrays, strict=True):
        np.save(folder / f"{name}.npy", array)
    facts = {"sha256": digest, "class_names": names}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    return digest


def _digest(
    pixels: Images,
    shapes: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    names: list[str],
) -> str:
    """Return the SHA-256 of images, labels and the names of classes."""
    digest = hashlib.sha256(json.dumps(names).encode())
    digest.update(shapes.astype("<i8").tobytes() + labels.astype("<i8").tobytes())
    for first in range(0, len(pixels), BLOCK):
        digest.update(pixels[first : first + BLOCK].data)
    return digest.hexdigest()


def _read(folder: Path) -> _Stored | None:
    """Return what is stored beside the pixels; None if there is nothing, or a part is missing."""
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        shapes, labels = np.load(folder / "shapes.npy"), np.load(folder / "labels.npy")
        stored = _Stored(shapes, labels, list(facts["class_names"]), str(facts["sha256"]))
        size = int(shapes.prod(axis=1).sum())
        whole = len(labels) == len(shapes) and (folder / "pixels.bin").stat().st_size == size
        return stored if whole else None
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
