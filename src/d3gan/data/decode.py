"""Decoding of images of any format to uint8 arrays of one shape."""

import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from d3gan.data.source import Item
from d3gan.errors import UserError
from d3gan.images import Images
from d3gan.machine import usable_cpus
from d3gan.progress import progress_bar


class Decoded(NamedTuple):
    """What is known of decoded items, beside their pixels."""

    labels: npt.NDArray[np.int64]
    """[M], of the readable images."""
    numbers: npt.NDArray[np.int64]
    """Positions of the readable images among the items, [M]."""
    resized: npt.NDArray[np.bool_]
    """Which of the readable images were cropped or resized, [M]."""
    broken: list[str]
    """Name of each of the other images, and what is wrong with it."""


def decode_all(items: Iterable[Item], images: Images, *, title: str, workers: int) -> Decoded:
    """Decode items into `images` [M, C, H, W] with a pool of threads and a progress bar.

    Readable images come first.
    """
    count, channels, resolution, _ = images.shape
    labels: list[int] = []
    numbers: list[int] = []
    resized: list[bool] = []
    broken: list[str] = []

    def decode(item: Item) -> tuple[Images, bool] | str:
        try:
            picture = open_image(item.read())
            array = to_array(picture, resolution, channels)
            return array, picture.size != (resolution, resolution)
        except UnidentifiedImageError:
            return f"{item.name}: not an image"
        except MemoryError:
            raise
        except Exception as error:  # Pillow raises errors of many types for damaged files
            return f"{item.name}: {error}"

    threads = workers or usable_cpus()
    with progress_bar(title, count) as bar, ThreadPoolExecutor(threads) as pool:
        source = enumerate(items)
        # In blocks, because map() would read all items ahead.
        while block := list(islice(source, 64 * threads)):
            results = pool.map(decode, [item for _, item in block])
            for (number, item), result in zip(block, results, strict=True):
                if isinstance(result, str):
                    broken.append(result)
                    continue
                images[len(labels)], changed = result
                labels.append(item.label)
                numbers.append(number)
                resized.append(changed)
            bar.advance(len(block))
    return Decoded(
        np.array(labels, np.int64), np.array(numbers, np.int64), np.array(resized, bool), broken
    )


def open_image(data: bytes | Images) -> Image.Image:
    """Return the picture in an encoded file, or in pixels [H, W] or [H, W, C], C = 1, 3 or 4."""
    if isinstance(data, bytes):
        picture = Image.open(io.BytesIO(data))
        picture.load()
        return ImageOps.exif_transpose(picture)
    return Image.fromarray(data[:, :, 0] if data.ndim == 3 and data.shape[2] == 1 else data)


def to_array(picture: Image.Image, resolution: int, channels: int) -> Images:
    """Return the largest central square, resized, as uint8 [C, H, W]; transparency over white."""
    picture = _in_eight_bits(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        background = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(background, picture)
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (resolution, resolution):
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side))
        picture = square.resize((resolution, resolution), Image.Resampling.BICUBIC)
    array = np.asarray(picture)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _in_eight_bits(picture: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits (Pillow's own conversion would clip it)."""
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"grey values from {values.min()} to {values.max()}; expected 16 bits")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("floating-point pixels; convert it to 8 or 16 bits")
    return picture


def refuse_broken(skipped: list[str], total: int) -> None:
    """Raise UserError if there is a broken image."""
    if skipped:
        raise UserError(
            f"broken image {skipped[0]} ({len(skipped)} of {total} images are broken); "
            "repair or replace it, or leave out broken images with --data.skip-broken "
            "(--skip-broken in d3gan data)"
        )
