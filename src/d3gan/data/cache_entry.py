"""One entry of the cache of images: a folder of arrays that all processes map into their memory."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from d3gan.config import DataConfig
from d3gan.data.decode import Decoded, decode_all
from d3gan.data.source import Item, Source
from d3gan.images import Images

ROWS = 1024
"""Number of images that are copied at once."""

Positions = npt.NDArray[np.int64]
"""Positions of images in a source, or in an array of images."""


class Entry(NamedTuple):
    """The content of an entry."""

    images: Images
    """uint8 [M, C, H, W], a read-only memory map, in the order of the source."""
    labels: npt.NDArray[np.int64]
    """[M], -1 where unknown."""
    source_labels: npt.NDArray[np.int64]
    """The labels of the whole source, each at least once."""
    skipped: list[str]
    """Broken images that were left out."""
    resized: bool | None
    """Whether an image was cropped or resized; None if an older version wrote the entry."""


def read_entry(folder: Path) -> Entry | None:
    """Return the content of an entry; None if there is none, or a damaged one."""
    try:
        # Mapped read-only: a private writable map would be charged to the memory like a copy.
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels = np.load(folder / "labels.npy")
        skipped = json.loads((folder / "skipped.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, EOFError):
        return None
    source_labels, resized = labels, None
    with suppress(OSError, ValueError, EOFError):
        source_labels = np.load(folder / "source-labels.npy")
    with suppress(OSError, ValueError):
        resized = json.loads((folder / "resized.json").read_text(encoding="utf-8"))
    return Entry(images, labels, source_labels, skipped, resized)


@contextmanager
def new_entry(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder, which becomes the entry `folder` at the end of the block."""
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def random_order(number: int) -> Positions:
    """Return the fixed random order of a source's images, of which a subset takes the first."""
    from d3gan.rng import Stream, permutation  # imports torch

    order: Positions = permutation(0, Stream.SUBSET, 0, number).numpy()
    return order


def decode_source(source: Source, data: DataConfig, folder: Path) -> None:
    """Decode all images of the source into the new entry `folder`."""
    images = _new_images(folder, source.number, data)
    decoded = decode_all(
        source.items(), images, title=f"decoding {source.name}", workers=data.workers
    )
    _write(folder, images, np.arange(len(decoded.labels)), decoded)


def decode_subset(source: Source, data: DataConfig, limit: int, folder: Path) -> None:
    """Decode `limit` random images of the source, and no others, into the new entry `folder`.

    Where some of them are broken, the next ones of the random order take their place.
    """
    images = _new_images(folder, limit, data)
    candidates, filled = random_order(source.number), 0
    found, positions, labels = [], [], set[int]()
    while filled < limit and len(candidates):  # twice or more only if images are broken
        needed = limit - filled
        chosen, candidates = np.sort(candidates[:needed]), candidates[needed:]
        found.append(
            decode_all(
                _chosen_items(source, chosen, labels),
                images[filled:],
                title=f"decoding {source.name}",
                workers=data.workers,
            )
        )
        positions.append(chosen[found[-1].numbers])
        filled += len(found[-1].labels)
    # In the order of the source, whatever took the place of a broken image.
    rows = np.argsort(np.concatenate(positions))
    decoded = Decoded(
        np.concatenate([part.labels for part in found])[rows],
        np.concatenate(positions)[rows],
        np.concatenate([part.resized for part in found])[rows],
        [name for part in found for name in part.broken],
    )
    np.save(folder / "source-labels.npy", np.array(sorted(labels), np.int64))
    _write(folder, images, rows, decoded)


def copy_subset(whole: Path, limit: int, folder: Path) -> bool:
    """Copy `limit` random images from the entry of their whole source into the new entry `folder`.

    Returns whether that was possible: there must be such an entry, and no image of the source may
    be broken, since the entry does not hold the positions of broken images.
    """
    entry = read_entry(whole)
    if entry is None or entry.skipped:
        return False
    rows = np.sort(random_order(len(entry.labels))[:limit])
    resized = None if entry.resized is None else np.full(len(rows), entry.resized)
    with suppress(OSError, ValueError, EOFError):
        resized = np.load(whole / "each-resized.npy")[rows]
    np.save(folder / "source-labels.npy", np.unique(entry.labels))
    _write_rows(folder / "images.npy", entry.images, rows)
    _write_facts(folder, entry.labels[rows], [], resized)
    return True


def _chosen_items(source: Source, chosen: Positions, labels: set[int]) -> Iterator[Item]:
    """Yield the items at the positions `chosen`, increasing; add all labels of the source."""
    mask = np.zeros(source.number, bool)
    mask[chosen] = True

    def items() -> Iterable[Item]:
        for item in source.items():
            labels.add(item.label)
            yield item

    return compress(items(), mask.tolist())


def _new_images(folder: Path, number: int, data: DataConfig) -> Images:
    """Create the array [number, C, H, W] into which images are decoded."""
    shape = (number, data.channels, data.resolution, data.resolution)
    size = int(np.prod(shape))
    if shutil.disk_usage(folder).free < size:  # a memory map would end in a bus error
        raise OSError(f"no space for {size:,} bytes")
    file = folder / "decoding.npy"
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)


def _write(folder: Path, images: Images, rows: Positions, decoded: Decoded) -> None:
    """Complete an entry of the rows `rows` of `images`, which `_new_images` returned."""
    decoding, final = folder / "decoding.npy", folder / "images.npy"
    assert isinstance(images, np.memmap)
    images.flush()
    if np.array_equal(rows, np.arange(len(images))):
        decoding.rename(final)
    else:
        _write_rows(final, images, rows)
        decoding.unlink()
    _write_facts(folder, decoded.labels, decoded.broken, decoded.resized)


def _write_rows(file: Path, images: Images, rows: Positions) -> None:
    """Write images[rows] to a .npy file, without a copy of all of them in memory."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *images.shape[1:])}
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for first in range(0, len(rows), ROWS):
            stream.write(images[rows[first : first + ROWS]].tobytes())


def _write_facts(
    folder: Path,
    labels: npt.NDArray[np.int64],
    broken: list[str],
    resized: npt.NDArray[np.bool_] | None,
) -> None:
    """Write what an entry holds beside the images; `resized` [M] is None if it is unknown."""
    np.save(folder / "labels.npy", labels)
    (folder / "skipped.json").write_text(json.dumps(broken), encoding="utf-8")
    if resized is None:
        return
    (folder / "resized.json").write_text(json.dumps(bool(resized.any())), encoding="utf-8")
    if resized.any() and not resized.all():
        np.save(folder / "each-resized.npy", resized)
