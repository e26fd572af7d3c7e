"""Decoding of images of any format to uint8 arrays of one shape."""

import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from threading import Condition
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from d3gan.data.formats import readable_formats
from d3gan.data.source import Item
from d3gan.errors import UserError
from d3gan.images import Images
from d3gan.machine import usable_cpus
from d3gan.progress import progress_bar

MOST_PIXELS = 89_478_485
"""Pixels of an image at most, Pillow's own limit. Pillow opens files of twice as
many, and JPEG files of those are decoded at half their size. All threads together decode so many
pixels at a time."""

BLOCK_BYTES = 2**26
"""Size of the decoded images that wait to be written, at most."""

STRIP = 512
"""Rows of a transparent picture that are composed at once."""

GREY_MODES = ("1", "L", "LA", "F")
COLOUR_DIFFERENCE = 8
"""Largest difference between the channels of a pixel that is still grey."""


class Decoded(NamedTuple):
    """What is known of decoded items, beside their pixels."""

    labels: npt.NDArray[np.int64]
    """[M], of the readable images."""
    numbers: npt.NDArray[np.int64]
    """Positions of the readable images among the items, [M]."""
    sizes: npt.NDArray[np.int32]
    """Width and height of each of the readable images before it was cropped or resized, [M, 2]."""
    colour_dropped: npt.NDArray[np.bool_]
    """Which of the readable images lost their colour, [M]."""
    broken: list[str]
    """Name of each of the other images, and what is wrong with it."""

    def rows(self, chosen: npt.NDArray[np.int64]) -> "Decoded":
        """Return the same of the readable images `chosen`, and all broken ones."""
        return Decoded(
            self.labels[chosen],
            self.numbers[chosen],
            self.sizes[chosen],
            self.colour_dropped[chosen],
            self.broken,
        )


def joined(parts: Sequence[Decoded]) -> Decoded:
    """Return what is known of several lists of items, one after the other."""
    return Decoded(
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.sizes for part in parts]),
        np.concatenate([part.colour_dropped for part in parts]),
        [name for part in parts for name in part.broken],
    )


class _Image(NamedTuple):
    """One decoded image."""

    pixels: Images
    """[C, H, W]"""
    size: tuple[int, int]
    colour_dropped: bool


def decode_all(
    items: Iterable[Item],
    count: int,
    write: Callable[[Images], None],
    *,
    resolution: int,
    channels: int,
    title: str,
    workers: int,
) -> Decoded:
    """Decode `count` items with a pool of threads and a progress bar.

    `write` is called with blocks uint8 [B, C, H, W] of the readable images, in order.
    """
    labels: list[int] = []
    numbers: list[int] = []
    sizes: list[tuple[int, int]] = []
    colour_dropped: list[bool] = []
    broken: list[str] = []
    threads = workers or usable_cpus()
    size = max(threads, min(64 * threads, BLOCK_BYTES // (channels * resolution**2)))
    budget = _Budget(MOST_PIXELS)

    def decode(item: Item) -> _Image | str:
        return _decoded(item, resolution, channels, budget)

    with progress_bar(title, count) as bar, silent_pillow(), ThreadPoolExecutor(threads) as pool:
        source = enumerate(items)
        # In blocks, because map() would read all items ahead.
        while block := list(islice(source, size)):
            readable: list[Images] = []
            results = pool.map(decode, [item for _, item in block])
            for (number, item), result in zip(block, results, strict=True):
                if isinstance(result, str):
                    broken.append(result)
                    continue
                readable.append(result.pixels)
                labels.append(item.label)
                numbers.append(number)
                sizes.append(result.size)
                colour_dropped.append(result.colour_dropped)
            if readable:
                write(np.stack(readable))
            bar.advance(len(block))
    return Decoded(
        np.array(labels, np.int64),
        np.array(numbers, np.int64),
        np.array(sizes, np.int32).reshape(-1, 2),
        np.array(colour_dropped, bool),
        broken,
    )


class _Budget:
    """Limits the number of pixels that all threads decode at a time."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Wait until `pixels` of the budget are free, and take them for the block."""
        pixels = min(pixels, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


def _decoded(item: Item, resolution: int, channels: int, budget: _Budget) -> _Image | str:
    """Return the image, or its name and what is wrong with it."""
    try:
        picture = _opened(item.read())
        with budget.taken(picture.width * picture.height):
            picture = _loaded(picture)
            colour_dropped = channels == 1 and has_colour(picture)
            return _Image(to_array(picture, resolution, channels), picture.size, colour_dropped)
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises errors of many types for damaged files
        return f"{item.name}: {why_unreadable(error)}"


def why_unreadable(error: Exception) -> str:
    """Return why an image cannot be read."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * MOST_PIXELS:,} pixels; make it smaller"
    return str((isinstance(error, OSError) and error.strerror) or error)


@contextmanager
def silent_pillow() -> Iterator[None]:
    """Hide warnings, of which a user sees no image's name; what is broken raises an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_image(data: bytes | Images) -> Image.Image:
    """Return the picture in an encoded file, or in pixels [H, W] or [H, W, C], C = 1, 3 or 4.

    Raises errors of many types, of which `why_unreadable` returns the text.
    """
    return _loaded(_opened(data))


def _opened(data: bytes | Images) -> Image.Image:
    """Return a picture whose pixels are not decoded yet. Raises ValueError if it is too large."""
    if not isinstance(data, bytes):
        return Image.fromarray(data[:, :, 0] if data.ndim == 3 and data.shape[2] == 1 else data)
    picture = Image.open(io.BytesIO(data), formats=readable_formats())
    width, height = picture.size
    if width * height > MOST_PIXELS and picture.format in ("JPEG", "MPO"):
        picture.draft(picture.mode, (width // 2, height // 2))
    if picture.width * picture.height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels; at most {MOST_PIXELS:,} are allowed")
    return picture


def _loaded(picture: Image.Image) -> Image.Image:
    """Decode a picture, and turn it as its EXIF orientation says."""
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)
    return picture


def is_grey(picture: Image.Image) -> bool:
    """Return whether a picture has a format without colour."""
    return picture.mode in GREY_MODES or picture.mode.startswith("I")


def has_colour(picture: Image.Image) -> bool:
    """Return whether a sample of 32 x 32 pixels holds one that is not grey."""
    if is_grey(picture):
        return False
    sample = picture.resize((32, 32), Image.Resampling.NEAREST).convert("RGB")
    return bool(np.ptp(np.asarray(sample), axis=2).max() > COLOUR_DIFFERENCE)


def to_array(picture: Image.Image, resolution: int, channels: int) -> Images:
    """Return the largest central square, resized, as uint8 [C, H, W]; transparency over white."""
    side = min(picture.size)
    if picture.size != (side, side):
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    picture = _in_eight_bits(picture)
    mode = "L" if channels == 1 else "RGB"
    if picture.has_transparency_data:
        picture = _over_white(picture, mode)
    elif picture.mode != mode:
        picture = picture.convert(mode)
    if side != resolution:
        picture = picture.resize((resolution, resolution), Image.Resampling.BICUBIC)
    array = np.asarray(picture)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _over_white(picture: Image.Image, mode: str) -> Image.Image:
    """Return a transparent picture over white, in strips, which take little memory."""
    result = Image.new(mode, picture.size)
    for top in range(0, picture.height, STRIP):
        bottom = min(top + STRIP, picture.height)
        strip = picture.crop((0, top, picture.width, bottom)).convert("RGBA")
        white = Image.new("RGBA", strip.size, "white")
        result.paste(Image.alpha_composite(white, strip).convert(mode), (0, top))
    return result


def _in_eight_bits(picture: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits (Pillow's own conversion would clip it)."""
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"grey values from {values.min()} to {values.max()}; expected 16 bits")
        return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
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
