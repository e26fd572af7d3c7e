"""One image and its label, as Python programs hold them, as uint8 pixels and a whole number."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from d3gan.errors import UserError

CHANNELS = (1, 3, 4)


class Labelled(NamedTuple):
    """An image and its label."""

    pixels: npt.NDArray[np.uint8]
    """[H, W, C] with C = 1, 3 or 4."""
    label: int
    """-1 if there is none."""


def read_item(item: Any, where: str) -> Labelled:
    """Return an item of a data set: an image, (image, label) or {"image": ..., "label": ...}.

    `where` names it in errors. Raises UserError.
    """
    if isinstance(item, Mapping):
        if "image" not in item:
            raise UserError(f"{where} has the keys {', '.join(map(str, item))}, but no 'image'")
        item = (item["image"], item.get("label"))
    if not isinstance(item, tuple | list):
        item = (item,)
    if len(item) not in (1, 2):
        raise UserError(f"{where} has {len(item)} parts; it must be an image or (image, label)")
    return Labelled(read_pixels(item[0], where), read_label(*item[1:], where=where))


def read_label(label: Any = None, *, where: str) -> int:
    """Return a label as an integer, -1 for None. Raises UserError."""
    if label is None:
        return -1
    value = np.asarray(to_numpy(label))
    if value.shape != () or value.dtype.kind not in "iu" or not -1 <= value < 2**31:
        raise UserError(f"{where} has the label {label!r}; labels are whole numbers from 0 on")
    return int(value)


def read_pixels(image: Any, where: str) -> npt.NDArray[np.uint8]:
    """Return a Pillow image, an array or a tensor as uint8 [H, W, C].

    Arrays are [H, W], [H, W, C] or [C, H, W], of uint8, or of floats in [0, 1]. Raises UserError.
    """
    if isinstance(image, Image.Image):
        return _with_channels(_of_picture(image, where), where)
    array = to_numpy(image)
    if not isinstance(array, np.ndarray):
        kind = type(image).__name__
        raise UserError(f"{where} is a {kind}; it must be a Pillow image, an array or a tensor")
    if array.dtype.kind == "f" and array.size:
        least, most = float(array.min()), float(array.max())
        if not (least >= 0 and most <= 1):
            raise UserError(
                f"{where} has floating-point pixels from {least:g} to {most:g}; give uint8, or "
                "floats in [0, 1] (from [-1, 1], as after Normalize(0.5, 0.5): x / 2 + 0.5)"
            )
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise UserError(f"{where} has pixels of {array.dtype}; give uint8, or floats in [0, 1]")
    return _with_channels(array, where)


def to_numpy(value: Any) -> Any:
    """Return a tensor of torch as an array, and anything else as it is."""
    if not hasattr(value, "detach"):
        return value
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).numpy()


def _of_picture(picture: Image.Image, where: str) -> npt.NDArray[np.uint8]:
    if picture.mode not in ("L", "RGB", "RGBA"):
        if picture.mode.startswith(("I", "F")):
            raise UserError(
                f"{where} is a Pillow image of mode {picture.mode}; scale it to 8 bits (mode L)"
            )
        grey = picture.mode == "1"
        colour = "RGBA" if picture.has_transparency_data else "RGB"
        picture = picture.convert("L" if grey else colour)
    return np.asarray(picture)


def _with_channels(array: npt.NDArray[np.uint8], where: str) -> npt.NDArray[np.uint8]:
    """Return uint8 [H, W, C] of an array whose channels are first, last, or left out."""
    if array.ndim == 2 and array.size:
        return array[:, :, None]
    last = array.ndim == 3 and array.shape[2] in CHANNELS
    first = array.ndim == 3 and array.shape[0] in CHANNELS
    if not array.size or first == last:
        why = "; both could be the channels" if first and last else ""
        raise UserError(
            f"{where} has the shape {list(array.shape)}{why}; images are [H, W], [H, W, C] or "
            "[C, H, W] with 1, 3 or 4 channels"
        )
    return array if last else array.transpose(1, 2, 0)
