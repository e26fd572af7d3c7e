"""Decoded images, cached on disk."""

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock

from d3gan.config import DataConfig
from d3gan.data.cache_entry import (
    Entry,
    copy_subset,
    decode_source,
    decode_subset,
    new_entry,
    read_entry,
)
from d3gan.data.decode import open_image, refuse_broken
from d3gan.data.locations import cache_folder
from d3gan.data.source import Source
from d3gan.data.sources import find_source
from d3gan.errors import UserError
from d3gan.files import write_text
from d3gan.images import Images

DECODER_VERSION = 1
"""Part of the cache's key; increase it whenever decoding gives other pixels."""


class ImageSet(NamedTuple):
    """Decoded images, memory-mapped from the cache."""

    name: str
    images: Images
    """uint8 [M, C, H, W]"""
    labels: np.ndarray
    """int64 [M], -1 where unknown"""
    digest: str
    """SHA-256 of the content that they were decoded from."""
    skipped: list[str]
    """Broken images that were left out."""
    classes: int
    """Number of classes K if every image of the source has a label and labels are 0..K-1, otherwise
    0. Some classes may be missing in a subset."""
    class_names: list[str]
    """Name of each class, [K], or empty where names are unknown."""
    resized: bool | None = None
    """Whether an image was cropped or resized; None if an older version decoded them."""
    revision: str = ""
    """Commit of the hub's data set; empty for local images."""


def load_images(data: DataConfig) -> ImageSet:
    """Return the images of `data.source`, decoded now or read from the cache. Raises UserError.

    `limit` > 0 selects the first images of a fixed random order of the source's images, which does
    not depend on the run's seed, and decodes no others. With `skip_broken`, the next ones of the
    order replace those that are broken, so there are `limit` images if so many can be read. Any
    resolution is allowed here.
    """
    images = _cached(find_source(data.source, data.split), data)
    if not data.skip_broken:
        refuse_broken(images.skipped, len(images.images) + len(images.skipped))
    if not len(images.images):
        raise UserError(f"{data.source}: no image could be read ({images.skipped[0]})")
    return images


def check_enough(images: int, source: str, batch_size: int, key: str) -> None:
    """Raise UserError, naming the `key` of the batch size, if there is less than one batch."""
    if batch_size > images:
        raise UserError(f"{key} = {batch_size}: {source} has only {images} images")


def require_classes(images: ImageSet, reason: str) -> int:
    """Return the number of classes of labelled images.

    Raises UserError, starting with `reason` (for example ``"model.conditional = true"``), if an
    image has no label or the labels are not 0..K-1.
    """
    if images.classes:
        return images.classes
    labelled = images.labels[images.labels >= 0]
    if len(labelled) == 0:
        what = "has no labels"
    elif len(labelled) < len(images.labels):
        what = f"has labels for only {len(labelled)} of {len(images.labels)} images"
    else:
        found = np.unique(labelled)
        raise UserError(
            f"{reason}: {images.name} has {len(found)} different labels from {found[0]} to "
            f"{found[-1]}; number the classes from 0 to {len(found) - 1}"
        )
    raise UserError(
        f"{reason}: {images.name} {what}; put the images into one folder per class, or choose a "
        "labelled source"
    )


def native_shape(source: str, split: str) -> tuple[int, int]:
    """Return the shorter side and the channels of the source's first image. Raises UserError."""
    first = next(iter(find_source(source, split).items()))
    try:
        picture = open_image(first.read())
    except Exception as error:  # Pillow raises errors of many types for damaged files
        raise UserError(f"broken image {first.name} ({error}); repair or replace it") from error
    grey = picture.mode in ("1", "L", "LA", "F") or picture.mode.startswith("I")
    return min(picture.size), 1 if grey else 3


# The cache


def _cached(source: Source, data: DataConfig) -> ImageSet:
    """Decode the source unless it is in the cache. Of several processes at once, one decodes."""
    if source.channels not in (None, data.channels):
        raise UserError(
            f"data.channels = {data.channels}: {source.name} needs {source.channels} channels"
        )
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        digest = source.digest or _content_digest(source.files, folder)
        shape = f"{data.resolution}/{data.channels}"
        key = f"{digest}/{shape}/{DECODER_VERSION}/{source.labelling}"
        entry = whole = _entry_folder(folder, key)
        limit = data.limit if data.limit < source.number else 0
        if limit:
            entry = _entry_folder(folder, f"{limit} of {key}")
        entry.parent.mkdir(exist_ok=True)
        with FileLock(f"{entry}.lock"):
            loaded = read_entry(entry)
            if loaded is None:
                with new_entry(entry) as temporary:
                    if not limit:
                        decode_source(source, data, temporary)
                    elif not copy_subset(whole, limit, temporary):
                        decode_subset(source, data, limit, temporary)
                loaded = read_entry(entry)
        assert loaded is not None
        return _image_set(source, loaded, digest)
    except OSError as error:
        raise UserError(
            f"cannot decode {source.name} into the cache {folder}: {error}; "
            "set D3GAN_CACHE to a folder with free space"
        ) from error


def _entry_folder(folder: Path, key: str) -> Path:
    return folder / "images" / hashlib.sha256(os.fsencode(key)).hexdigest()[:32]


def _image_set(source: Source, entry: Entry, digest: str) -> ImageSet:
    classes = _count_classes(entry.source_labels, source.class_names)
    return ImageSet(
        source.name,
        entry.images,
        entry.labels,
        digest,
        entry.skipped,
        classes,
        list(source.class_names) if classes else [],
        entry.resized,
        source.revision,
    )


def _count_classes(labels: np.ndarray, names: tuple[str, ...]) -> int:
    """Return the number of classes of labels [M], or 0 if they are not all within 0..K-1."""
    if not len(labels) or labels.min() < 0:
        return 0
    if names:
        return len(names) if labels.max() < len(names) else 0
    found = np.unique(labels)
    return len(found) if found[-1] == len(found) - 1 else 0


def _content_digest(files: Iterable[Path], folder: Path) -> str:
    """Return the SHA-256 of the content of all files.

    They are read again only if the size or the modification time of one of them changes.
    """
    files = list(files)
    manifest = hashlib.sha256()
    for file in files:
        status = file.stat()
        manifest.update(os.fsencode(file.resolve()))
        manifest.update(f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    known = folder / "digests" / manifest.hexdigest()[:32]
    with suppress(OSError):
        return known.read_text(encoding="ascii")
    content = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            content.update(hashlib.file_digest(stream, "sha256").digest())
    known.parent.mkdir(exist_ok=True)
    write_text(known, content.hexdigest(), flush=False)
    return content.hexdigest()
