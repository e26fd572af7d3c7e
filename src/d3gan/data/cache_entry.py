"""One entry of the cache of images: a folder of arrays that all processes map into their memory.

images.npy   pixels
facts.npz    labels, sizes, broken images, and the shape and the checksum of the pixels; the
             zip format of the file holds a checksum of each of these
entry.json   what `d3gan cache` shows; the file's time is that of the last use
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import compress
from os import getpid
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from d3gan.config import DataConfig
from d3gan.data.decode import Decoded, decode_all, joined
from d3gan.data.image_file import ImageFile, Shape, crc32_of, map_images
from d3gan.data.source import Item, Source
from d3gan.files import touch
from d3gan.images import Images

ROWS = 1024
"""Number of images that are copied at once."""

IMAGES, FACTS, DESCRIPTION = "images.npy", "facts.npz", "entry.json"

BYTES_PER_IMAGE = 64
"""Space that the facts of an image take, at most, if it is not broken."""

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
    sizes: npt.NDArray[np.int32]
    """Width and height of each image before it was cropped or resized, [M, 2]."""
    colour_dropped: npt.NDArray[np.bool_]
    """Which images lost their colour, [M]."""
    skipped: list[str]
    """Broken images that were left out."""


class DamagedEntry(Exception):
    """An entry is there, but not as it was written."""


def read_entry(folder: Path) -> Entry | None:
    """Return the content of an entry; None if there is none, or one of an older version.

    All of it is verified. Raises DamagedEntry.
    """
    if not (folder / FACTS).exists():
        return None
    try:
        with (folder / FACTS).open("rb") as stream, np.load(stream) as archive:
            facts = dict(archive)
        images = map_images(folder / IMAGES)
        right = images.shape == tuple(facts["shape"]) and images.dtype == np.uint8
        if not right or crc32_of(folder / IMAGES) != facts["crc32"]:
            raise DamagedEntry(f"the checksum of {folder / IMAGES} is wrong")
        touch(folder / DESCRIPTION)
        return Entry(
            images,
            facts["labels"],
            facts["source_labels"],
            facts["sizes"],
            facts["colour_dropped"],
            facts["skipped"].tolist(),
        )
    except DamagedEntry:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many types, depending on the damage
        raise DamagedEntry(f"{folder}: {type(error).__name__}: {error}") from error


@contextmanager
def new_entry(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder, which becomes the entry `folder` at the end of the block.

    The caller holds the entry's lock. What a process that was killed has left of it is deleted.
    """
    for stale in unfinished(folder):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = folder.with_name(f"{folder.name}.{getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def unfinished(folder: Path) -> list[Path]:
    """Return the temporary folders of an entry."""
    return sorted(folder.parent.glob(f"{folder.name}.*.tmp"))


def random_order(number: int) -> Positions:
    """Return the fixed random order of a source's images, of which a subset takes the first."""
    from d3gan.rng import Stream, permutation  # imports torch

    order: Positions = permutation(0, Stream.SUBSET, 0, number).numpy()
    return order


def decode_source(source: Source, data: DataConfig, folder: Path) -> None:
    """Decode all images of the source into the new entry `folder`."""
    with _new_images(folder / IMAGES, source.number, data) as images:
        decoded = _decode(source.items(), source.number, source, data, images)
    _write_facts(folder, source, data, images.crc32, decoded, decoded.labels)


def decode_subset(source: Source, data: DataConfig, limit: int, folder: Path) -> None:
    """Decode `limit` random images of the source, and no others, into the new entry `folder`.

    Where some of them are broken, the next ones of the random order take their place.
    """
    candidates = random_order(source.number)
    found: list[Decoded] = []
    labels = set[int]()
    with _new_images(folder / IMAGES, limit, data) as images:
        while images.count < limit and len(candidates):  # twice or more only if images are broken
            needed = limit - images.count
            chosen, candidates = np.sort(candidates[:needed]), candidates[needed:]
            items = _chosen_items(source, chosen, labels)
            part = _decode(items, needed, source, data, images)
            found.append(part._replace(numbers=chosen[part.numbers]))
    decoded = joined(found)
    # In the order of the source, whatever took the place of a broken image.
    rows, crc32 = np.argsort(decoded.numbers), images.crc32
    if not np.array_equal(rows, np.arange(len(rows))):
        (folder / IMAGES).rename(folder / "decoded.npy")
        crc32 = _copy(map_images(folder / "decoded.npy"), rows, folder / IMAGES)
        (folder / "decoded.npy").unlink()
        decoded = decoded.rows(rows)
    _write_facts(folder, source, data, crc32, decoded, np.array(sorted(labels), np.int64))


def copy_subset(whole: Entry, source: Source, data: DataConfig, limit: int, folder: Path) -> bool:
    """Copy `limit` random images from the entry of their whole source into the new entry `folder`.

    Returns whether that was possible: no image of the source may be broken, since the entry does
    not hold the positions of broken images.
    """
    if whole.skipped:
        return False
    rows = np.sort(random_order(len(whole.labels))[:limit])
    crc32 = _copy(whole.images, rows, folder / IMAGES)
    everything = Decoded(whole.labels, whole.labels, whole.sizes, whole.colour_dropped, [])
    labels = np.unique(whole.source_labels)
    _write_facts(folder, source, data, crc32, everything.rows(rows), labels)
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


def _new_images(file: Path, number: int, data: DataConfig) -> ImageFile:
    return ImageFile(file, image_shape(number, data))


def image_shape(number: int, data: DataConfig) -> Shape:
    """Return the shape [M, C, H, W] of `number` decoded images."""
    return number, data.channels, data.resolution, data.resolution


def _decode(
    items: Iterable[Item], count: int, source: Source, data: DataConfig, images: ImageFile
) -> Decoded:
    return decode_all(
        items,
        count,
        images.write,
        resolution=data.resolution,
        channels=data.channels,
        title=f"decoding {source.name}",
        workers=data.workers,
    )


def _copy(images: Images, rows: Positions, file: Path) -> int:
    """Write images[rows] to a file, without a copy of all of them in memory; return the CRC-32."""
    with ImageFile(file, (len(rows), *images.shape[1:])) as copied:
        for first in range(0, len(rows), ROWS):
            copied.write(images[rows[first : first + ROWS]])
    return copied.crc32


def _write_facts(
    folder: Path,
    source: Source,
    data: DataConfig,
    crc32: int,
    decoded: Decoded,
    source_labels: npt.NDArray[np.int64],
) -> None:
    """Write what an entry holds beside the images."""
    shape = image_shape(len(decoded.labels), data)
    np.savez(
        folder / FACTS,
        shape=np.array(shape, np.int64),
        crc32=np.array(crc32, np.int64),
        labels=decoded.labels,
        source_labels=source_labels,
        sizes=decoded.sizes,
        colour_dropped=decoded.colour_dropped,
        skipped=np.array(decoded.broken, np.str_),
    )
    description = {"source": source.name, "split": data.split, "shape": shape}
    (folder / DESCRIPTION).write_text(json.dumps(description) + "\n", encoding="utf-8")
