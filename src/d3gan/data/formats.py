"""The formats of image files that are read."""

from functools import cache
from pathlib import Path

from PIL import Image

COMMON = ("PNG", "JPEG", "WEBP")
"""Tried first when an image is opened."""

EXCLUDED = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
"""Formats that Pillow knows and cannot read by itself: EPS would start Ghostscript."""

UNSUPPORTED = (
    ".heic", ".heif", ".jxl", ".svg", ".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".eps",
)  # fmt: skip
"""Endings of images of other formats, which are left out with a note."""


@cache
def readable_formats() -> tuple[str, ...]:
    """Return the names that Pillow gives to the formats."""
    Image.init()
    others = [name for name in Image.ID if name not in (*COMMON, *EXCLUDED)]
    return (*COMMON, *others)


def is_image_name(name: str) -> bool:
    """Return whether a file name ends as those of images do that can be read."""
    formats = readable_formats()
    return Image.EXTENSION.get(Path(name).suffix.lower()) in formats
