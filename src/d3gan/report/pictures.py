"""Arrange sample grids on one picture, and write pictures as PNG and GIF."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from d3gan.images import GAP
from d3gan.report.wording import shortened

MARGIN = 8
"""Pixels between pictures."""
CAPTION_HEIGHT = 26
"""Pixels."""
FRAME_MILLISECONDS = 250
LAST_FRAME_MILLISECONDS = 3000
PAPER, INK = 255, 0
FONT_SIZE, LETTER_WIDTH = 15, 8
"""Pixels."""


def side_by_side(
    sheets: Sequence[Image.Image],
    captions: Sequence[str],
    *,
    columns: int | None = None,
    heading: str = "",
) -> Image.Image:
    """Arrange sheets of one size in rows of `columns`, a caption above each, on white.

    Without `columns` there is one row. A caption wider than its sheet is shortened.
    """
    grey = all(sheet.mode == "L" for sheet in sheets)
    width, height = sheets[0].size
    columns = min(columns or len(sheets), len(sheets))
    rows = math.ceil(len(sheets) / columns)
    above = CAPTION_HEIGHT if heading else 0
    size = (columns * (width + MARGIN) + MARGIN, rows * (height + CAPTION_HEIGHT) + MARGIN + above)
    page = Image.new("L" if grey else "RGB", size, PAPER if grey else (PAPER,) * 3)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=FONT_SIZE)
    ink = INK if grey else (INK,) * 3
    draw.text((MARGIN, 6), heading, fill=ink, font=font)
    for position, (sheet, caption) in enumerate(zip(sheets, captions, strict=True)):
        row, column = divmod(position, columns)
        left = MARGIN + column * (width + MARGIN)
        top = above + row * (height + CAPTION_HEIGHT)
        page.paste(sheet, (left, top + CAPTION_HEIGHT))
        words = shortened(caption, max(6, width // LETTER_WIDTH))
        draw.text((left, top + 4), words, fill=ink, font=font)
    return page


def corner(sheet: Image.Image, resolution: int, most: int) -> Image.Image:
    """Return the upper left part of a grid, of at most `most` x `most` images.

    `resolution` is the side of one image in pixels.
    """
    side = GAP + most * (resolution + GAP)
    return sheet.crop((0, 0, min(side, sheet.width), min(side, sheet.height)))


def of_one_size(sheets: Sequence[Image.Image], least_width: int) -> list[Image.Image]:
    """Enlarge all sheets to one size, an integer multiple of the largest, without smoothing."""
    width = max(sheet.width for sheet in sheets)
    height = max(sheet.height for sheet in sheets)
    factor = max(1, math.ceil(least_width / width))
    size = (width * factor, height * factor)
    return [sheet.resize(size, Image.Resampling.NEAREST) for sheet in sheets]


def png(picture: Image.Image) -> bytes:
    """Return the picture as a small PNG file."""
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def gif(frames: Sequence[Image.Image]) -> bytes:
    """Return frames of one size as a GIF file that repeats; the last frame is shown longer."""
    reduced = [_in_few_colours(frame) for frame in frames]
    durations = [FRAME_MILLISECONDS] * (len(frames) - 1) + [LAST_FRAME_MILLISECONDS]
    stream = io.BytesIO()
    reduced[0].save(
        stream, format="GIF", save_all=True, append_images=reduced[1:], duration=durations, loop=0
    )
    return stream.getvalue()


def _in_few_colours(frame: Image.Image) -> Image.Image:
    """Reduce to 16 greys or 128 colours without dithering, which makes the file much smaller."""
    if frame.mode == "L":
        return frame.point([round(value / 17) * 17 for value in range(256)])
    return frame.quantize(128, dither=Image.Dither.NONE)


def open_sheet(file: Path) -> Image.Image:
    """Read a sample grid. Raises OSError if it is damaged."""
    try:
        with Image.open(file) as picture:
            picture.load()
            return picture.copy()
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(str(error)) from error
