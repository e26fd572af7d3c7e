"""Data sources from outside the package: ``module.path:Name(parameter=value)``."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from d3gan.data.arrays import array_source
from d3gan.data.labels import checked_labels
from d3gan.data.source import Source
from d3gan.errors import UserError
from d3gan.registry import build_plugin


def plugin_source(text: str, split: str) -> Source:
    """Return the images of the plugin that `text` describes.

    A plugin is a function that returns the images, or a class whose objects take the name of the
    split and return them. Images are a pair of uint8 images [M, H, W] or [M, H, W, C] and labels
    [M], or an iterable of pairs (image, label) with images [H, W] or [H, W, C] of any size; label
    -1 stands for none. The attribute ``class_names`` of an object is optional. Raises UserError.
    """
    built = build_plugin(text)
    if not callable(built) and split != "train":
        raise UserError(f"{text} has no split '{split}'; splits: train")
    try:
        images, labels = _arrays(built(split) if callable(built) else built)
    except UserError as error:
        raise UserError(f"{text}: {error}") from error
    except Exception as error:  # anything that a plugin raises is the plugin's mistake
        raise UserError(f"{text}: {type(error).__name__}: {error}") from error
    names = tuple(str(name) for name in getattr(built, "class_names", ()))
    source = array_source(text, [], images, labels, names)
    return source._replace(digest=_digest(images, labels))


def _arrays(data: Any) -> tuple[Any, Any]:
    """Return the images and their labels int64 [M], checked. Raises UserError."""
    images: Any
    if isinstance(data, tuple) and len(data) == 2:
        images, labels = np.asarray(data[0]), np.asarray(data[1])
    elif isinstance(data, Iterable) and not isinstance(data, np.ndarray):
        pairs = list(data)
        images = [np.asarray(image) for image, _ in pairs]
        labels = np.array([int(label) for _, label in pairs])
    else:
        raise UserError(
            f"returned {type(data).__name__}; it must return (images, labels) or an iterable of "
            "(image, label)"
        )
    if not len(images) or labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise UserError(
            f"returned {len(images)} images and labels {list(labels.shape)} of {labels.dtype}; "
            "it must return at least one image and as many integer labels"
        )
    for image in images:
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in _CHANNELS:
            raise UserError(
                f"returned an image {list(image.shape)} of {image.dtype}; images must be uint8 "
                "[H, W] or [H, W, C] with 1, 3 or 4 channels"
            )
    return images, checked_labels(labels, "the source")


_CHANNELS = ((), (1,), (3,), (4,))


def _digest(images: Any, labels: Any) -> str:
    """Return the SHA-256 of images and labels."""
    digest = hashlib.sha256(np.ascontiguousarray(labels).tobytes())
    for image in images:
        digest.update(repr(image.shape).encode())
        digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()
