"""Decoded images, cached on disk."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock
from PIL import Image

from d3gan.config import DataConfig
from d3gan.data.cache_entry import (
    DamagedEntry,
    Entry,
    copy_subset,
    decode_source,
    decode_subset,
    new_entry,
    read_entry,
)
from d3gan.data.decode import is_grey, open_image, refuse_broken, silent_pillow, why_unreadable
from d3gan.data.digests import content_digest
from d3gan.data.labels import count_classes, require_classes
from d3gan.data.locations import cache_folder
from d3gan.data.source import Item, Source
from d3gan.data.sources import find_source
from d3gan.errors import UserError
from d3gan.images import Images
from d3gan.messages import warn

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
    sizes: tuple[tuple[int, int], ...] = ()
    """Widths and heights that images had before they were cropped or resized."""
    revision: str = ""
    """Commit of the hub's data set; empty for local images."""
    notes: tuple[str, ...] = ()
    """What a user should know of the images, such as colour that is dropped."""
    unlabelled: str = ""
    """Why no image has a label, and how to give them labels; empty if images may have labels."""

    @property
    def resized(self) -> bool:
        """Whether an image was cropped or resized."""
        return self.sizes != (self.images.shape[:1:-1],)


def load_images(data: DataConfig, *, labels_for: str = "", classes_for: str = "") -> ImageSet:
    """Return the images of `data.source`, decoded now or read from the cache. Raises UserError.

    `limit` > 0 selects the first images of a fixed random order of the source's images, which does
    not depend on the run's seed, and decodes no others. With `skip_broken`, the next ones of the
    order replace those that are broken, so there are `limit` images if so many can be read. Any
    resolution is allowed here. `labels_for` says what needs labels, and `classes_for` what needs a
    label in 0..K-1 of every image, for example ``"model.conditional = true"``; before images are
    decoded it is checked whether there are any.
    """
    source = find_source(data.source, data.split)
    reason = classes_for or labels_for
    if reason and source.unlabelled:
        raise UserError(f"{reason}: {source.unlabelled}")
    images = _cached(source, data)
    if not data.skip_broken:
        refuse_broken(images.skipped, len(images.images) + len(images.skipped))
    if not len(images.images):
        raise UserError(f"{data.source}: no image could be read ({images.skipped[0]})")
    if classes_for:
        require_classes(images.labels, images.classes, images.name, classes_for)
    return images


def check_enough(images: int, data: DataConfig, batch_size: int, key: str) -> None:
    """Raise UserError, naming the `key` of the batch size, if there is less than one batch."""
    if batch_size <= images:
        return
    if images == data.limit:
        raise UserError(
            f"{key} = {batch_size}: data.limit = {images} leaves only {images} images of "
            f"{data.source}; choose a larger data.limit or a smaller batch"
        )
    flag = f"--{key.replace('_', '-')}"
    raise UserError(
        f"{key} = {batch_size}: {data.source} has only {images} images; use {flag} {images} or "
        "less, or more images"
    )


def native_shape(source: str, split: str, *, any_size: bool) -> tuple[int, int]:
    """Return the shorter side and the channels of the source's first image. Raises UserError.

    Unless `any_size`, the first images must have one size, as `check_one_size` says of all.
    """
    items = iter(find_source(source, split).items())
    pictures = [_picture(item) for item in islice(items, 1 if any_size else SIZES_CHECKED)]
    if not any_size:
        check_one_size([picture.size for picture in pictures], source)
    return min(pictures[0].size), 1 if is_grey(pictures[0]) else 3


SIZES_CHECKED = 16
"""Number of images whose sizes are compared before all are decoded."""


def _picture(item: Item) -> Image.Image:
    try:
        with silent_pillow():
            return open_image(item.read())
    except Exception as error:  # Pillow raises errors of many types for damaged files
        raise UserError(
            f"broken image {item.name} ({why_unreadable(error)}); repair or replace it"
        ) from error


def check_one_size(sizes: Iterable[tuple[int, int]], source: str) -> None:
    """Raise UserError unless all images [W, H] have one size."""
    found = sorted(set(sizes))
    if len(found) > 1:
        some = " and ".join(f"{width} x {height}" for width, height in (found[0], found[-1]))
        raise UserError(
            f"the images of {source} have different sizes, such as {some}; choose the one at which "
            "they are compared, for example --resolution 64"
        )


# The cache


@contextmanager
def _cache_of(source: Source) -> Iterator[Path]:
    """Yield the cache folder; raise UserError if the system refuses to write to it."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        raise UserError(
            f"cannot decode {source.name} into the cache {folder}: {error.strerror or error}; free "
            "some space (d3gan cache), or set the environment variable D3GAN_CACHE to another "
            "folder"
        ) from error


class _Place(NamedTuple):
    """Where the images of a configuration are in the cache."""

    digest: str
    """SHA-256 of the content of the source."""
    entry: Path
    whole: Path
    """Entry of all images of the source; another one than `entry` if that is a subset."""


def _place(source: Source, data: DataConfig, folder: Path) -> _Place:
    digest = source.digest or content_digest(source.files, folder)
    shape = f"{data.resolution}/{data.channels}"
    key = f"{digest}/{shape}/{DECODER_VERSION}/{source.labelling}"
    whole = _entry_folder(folder, key)
    subset = 0 < data.limit < source.number
    return _Place(
        digest, _entry_folder(folder, f"{data.limit} of {key}") if subset else whole, whole
    )


def _entry_folder(folder: Path, key: str) -> Path:
    return folder / "images" / hashlib.sha256(os.fsencode(key)).hexdigest()[:32]


def _cached(source: Source, data: DataConfig) -> ImageSet:
    """Decode the source unless it is in the cache. Of several processes at once, one decodes."""
    if source.channels not in (None, data.channels):
        raise UserError(
            f"data.channels = {data.channels}: {source.name} needs {source.channels} channels"
        )
    with _cache_of(source) as folder:
        place = _place(source, data, folder)
        # Without the lock, so that several processes verify at once.
        entry = _sound(place.entry)
        if entry is None:
            place.entry.parent.mkdir(exist_ok=True)
            with FileLock(f"{place.entry}.lock"):
                entry = _sound(place.entry, source.name) or _decoded(source, data, place)
        return _image_set(source, entry, place.digest)


def _sound(folder: Path, name: str = "") -> Entry | None:
    """Return an entry; None if there is none, or a damaged one, of which `name` gives a warning."""
    try:
        return read_entry(folder)
    except DamagedEntry as error:
        if name:
            warn(f"the cached images of {name} are damaged ({error}); they are decoded again")
        return None


def _decoded(source: Source, data: DataConfig, place: _Place) -> Entry:
    """Return the new entry of the images; its lock is held."""
    whole = _sound(place.whole) if place.entry != place.whole else None
    with new_entry(place.entry) as temporary:
        if place.entry == place.whole:
            decode_source(source, data, temporary)
        elif not (whole and copy_subset(whole, source, data, data.limit, temporary)):
            decode_subset(source, data, data.limit, temporary)
    entry = read_entry(place.entry)
    assert entry is not None
    return entry


def _image_set(source: Source, entry: Entry, digest: str) -> ImageSet:
    classes = count_classes(entry.source_labels, source.class_names)
    notes, dropped = source.notes, int(entry.colour_dropped.sum())
    if dropped:
        notes += (
            f"{source.name}: the colour of {dropped:,} of {len(entry.labels):,} images is dropped, "
            "because data.channels = 1; --data.channels 3 keeps it",
        )
    return ImageSet(
        source.name,
        entry.images,
        entry.labels,
        digest,
        entry.skipped,
        classes,
        list(source.class_names) if classes else [],
        tuple(map(tuple, np.unique(entry.sizes, axis=0).tolist())),
        source.revision,
        notes,
        source.unlabelled,
    )
