"""Images in NumPy arrays and in .npy and .npz files."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from d3gan.data.labels import checked_labels
from d3gan.data.source import Item, Source
from d3gan.errors import UserError

LAYOUTS = "uint8 [M, H, W], [M, H, W, C] or [M, C, H, W] with C = 1 or 3"


def read_arrays(file: Path) -> Source:
    """Return the images of a .npy or .npz file: uint8 [M, H, W], [M, H, W, C] or [M, C, H, W].

    Raises UserError that says what would be right.
    """
    try:
        if file.suffix == ".npy":
            arrays = {"images": np.load(file, mmap_mode="r")}
        else:
            with file.open("rb") as stream, np.load(stream) as archive:
                arrays = dict(archive)
    except Exception as error:  # zipfile and zlib raise errors of many types for damaged files
        raise UserError(f"cannot read {file} as a NumPy file: {error}") from error
    images = next((a for a in arrays.values() if a.ndim in (3, 4) and a.dtype == np.uint8), None)
    if images is None or not images.size:
        raise UserError(f"{file} holds no images {LAYOUTS}; {_described(arrays)}")
    if images.ndim == 3 and images.shape[-1] in (1, 3, 4):
        raise UserError(
            f"{file} holds one image {list(images.shape)}; a data set is an array of many images, "
            f"{LAYOUTS}"
        )
    if images.ndim == 4 and images.shape[-1] not in (1, 3):
        if images.shape[1] not in (1, 3):
            raise UserError(f"{file}: images {list(images.shape)} have neither 1 nor 3 channels")
        images = images.transpose(0, 2, 3, 1)
    labels = next(
        (a for a in arrays.values() if a.shape == (len(images),) and a.dtype.kind in "iu"), None
    )
    unlabelled = ""
    if labels is None:
        labels = np.full(len(images), -1)
        unlabelled = (
            f"{file} has no labels; save them beside the images, as whole numbers "
            f"[{len(images)}]: np.savez('labelled.npz', images=images, labels=labels)"
        )
    labels = checked_labels(labels, str(file))
    return array_source(str(file), [file], images, labels)._replace(unlabelled=unlabelled)


def array_source(
    name: str, files: list[Path], images: Any, labels: np.ndarray, names: tuple[str, ...] = ()
) -> Source:
    """Return images in memory as a source: uint8 [H, W] or [H, W, C] each, with labels [M]."""
    return Source(
        name, files, len(images), lambda: pixel_items(images, labels, name), class_names=names
    )


def pixel_items(images: Any, labels: np.ndarray, name: str) -> Iterator[Item]:
    """Yield the items of images [M, H, W] or [M, H, W, C], or of a list of such images."""
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield Item(f"{name}[{i}]", _constant(image), int(label))


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def _described(arrays: dict[str, np.ndarray]) -> str:
    """Return what a file without uint8 images holds, and how images of another type are scaled."""
    found = ", ".join(f"{key} {a.dtype} {list(a.shape)}" for key, a in arrays.items())
    candidates = [a for a in arrays.values() if a.ndim in (3, 4) and a.size]
    text = f"it holds {found or 'nothing'}"
    if not candidates or candidates[0].dtype.kind not in "fiu":
        return text
    return f"{text}; convert them with np.uint8({_conversion(candidates[0])})"


def _conversion(images: np.ndarray) -> str:
    """Return an expression that brings `images` to the range 0 to 255, by their first thousand."""
    some = images[:1000]
    least, most = some.min(), some.max()
    if images.dtype.kind != "f":
        return "images" if least >= 0 and most <= 255 else "images * 255.0 / images.max()"
    if least >= 0 and most <= 1:
        return "255 * images + 0.5"
    if least >= -1 and most <= 1:
        return "127.5 * images + 128"
    return "images.round()" if least >= 0 and most <= 255 else "255 * images / images.max()"
