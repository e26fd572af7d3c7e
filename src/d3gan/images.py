"""Convert arrays of images to picture files."""

import io
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from d3gan.files import write_bytes
from d3gan.outputs import MARK

Images = npt.NDArray[np.uint8]
"""[M, C, H, W], C = 1 or 3."""

Pictures = npt.NDArray[np.uint8]
"""[M, H, W, C], C = 1 or 3: the layout of Pillow, matplotlib and .npz files."""

GAP = 2
"""Pixels between the images of a grid."""


def grid(images: Images, columns: int | None = None) -> Image.Image:
    """Arrange images [M, C, H, W] row by row on one sheet, by default as square as possible."""
    count, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cell_height, cell_width = height + GAP, width + GAP
    sheet = np.full((rows * cell_height + GAP, columns * cell_width + GAP, channels), 128, np.uint8)
    for i, image in enumerate(images):
        top = GAP + i // columns * cell_height
        left = GAP + i % columns * cell_width
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return to_picture(sheet.transpose(2, 0, 1))


def to_picture(image: Images) -> Image.Image:
    """Convert one image [C, H, W]."""
    return Image.fromarray(image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0))


def enlarged(picture: Image.Image, least: int = 480) -> Image.Image:
    """Enlarge a picture by an integer factor, to a height of at least `least` pixels."""
    factor = max(1, math.ceil(least / picture.height))
    return picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG file atomically, with the mark by which `outputs.is_own` knows it."""
    buffer, marks = io.BytesIO(), PngInfo()
    marks.add_text("Software", MARK)
    picture.save(buffer, format="PNG", pnginfo=marks)
    write_bytes(path, buffer.getvalue(), flush=False)
