"""Decoded images, cached on disk."""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_path

from d3gan.config import DataConfig
from d3gan.data.decode import decode_all, open_image, refuse_broken
from d3gan.data.readers import Source
from d3gan.data.sources import STACKED_MNIST, find_source
from d3gan.errors import UserError
from d3gan.images import Images
from d3gan.rng import Stream, permutation

DECODER_VERSION = 1
"""Part of the cache's key: raise it whenever decoding gives other pixels."""


class ImageSet(NamedTuple):
    """Decoded images, memory-mapped where they come from the cache."""

    name: str
    images: Images
    """[M, C, H, W]"""
    labels: np.ndarray
    """int64 [M], -1 where unknown"""
    digest: str
    """SHA-256 of the content that they were decoded from."""
    skipped: list[str]
    """Broken images that were left out."""
    classes: int
    """Number of classes K if every image has a label and labels are 0..K-1, otherwise 0."""
    class_names: list[str]
    """Name of each class, [K], or empty where names are unknown."""


def load_images(data: DataConfig) -> ImageSet:
    """The images of `data.source`, decoded now or taken from the cache. Raises UserError.

    `limit` > 0 takes a random choice of so many, the same whatever the run's seed. Any resolution
    will do here.
    """
    if data.source == STACKED_MNIST:
        everything = _stacked_mnist(data)
    else:
        everything = _cached(find_source(data.source, data.split), data)
    if not data.skip_broken:
        refuse_broken(everything.skipped, len(everything.images) + len(everything.skipped))
    if not len(everything.images):
        raise UserError(f"{data.source}: not one image could be read ({everything.skipped[0]})")
    if 0 < data.limit < len(everything.images):
        order = permutation(0, Stream.SUBSET, 0, len(everything.images))
        chosen = order[: data.limit].sort().values.numpy()
        return everything._replace(
            images=everything.images[chosen], labels=everything.labels[chosen]
        )
    return everything


def check_enough(images: int, source: str, batch_size: int, key: str) -> None:
    """Raise UserError, naming the `key` that was given, if there is less than one batch."""
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


def _classes(labels: np.ndarray, names: tuple[str, ...]) -> int:
    """Return the number of classes of labels [M], or 0 if they are not all within 0..K-1."""
    if not len(labels) or labels.min() < 0:
        return 0
    if names:
        return len(names) if labels.max() < len(names) else 0
    found = np.unique(labels)
    return len(found) if found[-1] == len(found) - 1 else 0


def native_shape(source: str, split: str) -> tuple[int, int]:
    """Side (the shorter one) and channels of the source's first image. Raises UserError."""
    found = find_source("mnist" if source == STACKED_MNIST else source, split)
    first = next(iter(found.items()))
    try:
        picture = open_image(first.read())
    except Exception as error:  # Pillow raises whatever a damaged file leads it to
        raise UserError(f"broken image {first.name} ({error}); mend or remove it") from error
    grey = picture.mode in ("1", "L", "LA", "F") or picture.mode.startswith("I")
    return min(picture.size), 1 if grey and source != STACKED_MNIST else 3


def _stacked_mnist(data: DataConfig) -> ImageSet:
    """Three digits of MNIST in the colour channels: 1,000 modes, label 100 r + 10 g + b.

    Metz et al. 2017, "Unrolled generative adversarial networks", section 3.3.1. Each channel holds
    every digit of MNIST once, in a random order of its own.
    """
    if data.channels != 3:
        raise UserError(
            f"stacked-mnist has 3 channels; data.channels = {data.channels} cannot hold it"
        )
    digits = load_images(dataclasses.replace(data, source="mnist", channels=1, limit=0))
    orders = [permutation(0, Stream.STACK, k, len(digits.images)).numpy() for k in range(3)]
    images = np.stack([digits.images[order, 0] for order in orders], axis=1)
    hundreds, tens, ones = (digits.labels[order] for order in orders)
    return digits._replace(
        name=STACKED_MNIST,
        images=images,
        labels=100 * hundreds + 10 * tens + ones,
        classes=1000,
        class_names=[f"{number:03d}" for number in range(1000)],
    )


# The cache


def cache_folder() -> Path:
    """$D3GAN_CACHE, or the user's cache folder of this platform."""
    folder = os.environ.get("D3GAN_CACHE")
    return Path(folder) if folder else user_cache_path("d3gan", appauthor=False)


def _cached(source: Source, data: DataConfig) -> ImageSet:
    """Decode the source unless the cache has it. Several processes may ask at once: one decodes."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        digest = _content_digest(source.files, folder)
        shape = f"{data.resolution}/{data.channels}"
        key = f"{digest}/{shape}/{DECODER_VERSION}/{source.labelling}"
        entry = folder / "images" / hashlib.sha256(os.fsencode(key)).hexdigest()[:32]
        entry.parent.mkdir(exist_ok=True)
        with FileLock(f"{entry}.lock"):
            loaded = _read_entry(source, entry, digest)
            if loaded is None:
                _write_entry(source, entry, data)
                loaded = _read_entry(source, entry, digest)
        assert loaded is not None
        return loaded
    except OSError as error:
        raise UserError(
            f"cannot decode {source.name} into the cache {folder}: {error}; "
            "set D3GAN_CACHE to a folder with room"
        ) from error


def _read_entry(source: Source, entry: Path, digest: str) -> ImageSet | None:
    try:
        images = np.load(entry / "images.npy", mmap_mode="r")
        labels = np.load(entry / "labels.npy")
        skipped = json.loads((entry / "skipped.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, EOFError):
        return None
    classes = _classes(labels, source.class_names)
    names = list(source.class_names) if classes else []
    return ImageSet(source.name, images, labels, digest, skipped, classes, names)


def _write_entry(source: Source, entry: Path, data: DataConfig) -> None:
    temporary = entry.with_name(f"{entry.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        room = source.number * data.channels * data.resolution**2
        if shutil.disk_usage(temporary).free < room:  # a memory map would end in a bus error
            raise OSError(f"no room for {room:,} bytes")
        images = np.lib.format.open_memmap(
            temporary / "decoding.npy",
            mode="w+",
            dtype=np.uint8,
            shape=(source.number, data.channels, data.resolution, data.resolution),
        )
        labels, skipped = decode_all(
            source.items(), images, title=f"decoding {source.name}", workers=data.workers
        )
        images.flush()
        if skipped:
            np.save(temporary / "images.npy", images[: len(labels)])
        del images
        decoding = temporary / "decoding.npy"
        if skipped:
            decoding.unlink()
        else:
            decoding.rename(temporary / "images.npy")
        np.save(temporary / "labels.npy", labels)
        (temporary / "skipped.json").write_text(json.dumps(skipped), encoding="utf-8")
        shutil.rmtree(entry, ignore_errors=True)
        temporary.rename(entry)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _content_digest(files: Iterable[Path], folder: Path) -> str:
    """SHA-256 of all files' content; read anew only if a file's size or time of change differs."""
    files = list(files)
    manifest = hashlib.sha256()
    for file in files:
        status = file.stat()
        manifest.update(os.fsencode(file.resolve()))
        manifest.update(f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    known = folder / "digests" / manifest.hexdigest()[:32]
    try:
        return known.read_text(encoding="ascii")
    except OSError:
        pass
    content = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            content.update(hashlib.file_digest(stream, "sha256").digest())
    known.parent.mkdir(exist_ok=True)
    temporary = known.with_name(f"{known.name}.{os.getpid()}.tmp")
    temporary.write_text(content.hexdigest(), encoding="ascii")
    temporary.replace(known)
    return content.hexdigest()
