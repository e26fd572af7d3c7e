"""Pictures from run folders: runs side by side, and as an animation of their training."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from d3gan.errors import UserError
from d3gan.images import GAP
from d3gan.runs import RunFolder, numbered, step_of, write_bytes, writing

MARGIN = 8
CAPTION_HEIGHT = 26
FRAME_MILLISECONDS = 100
LAST_FRAME_MILLISECONDS = 3000
PAPER, INK = 255, 0
SAME = 0.01
"""Numbers of images that differ by no more than this share are the same moment of training."""


def side_by_side(
    sheets: Sequence[Image.Image],
    captions: Sequence[str],
    *,
    columns: int | None = None,
    heading: str = "",
) -> Image.Image:
    """Sheets of one size next to each other, a caption above each, on white.

    In rows of `columns`, or all in one; `heading` stands above all, if it is not empty. A caption
    that is wider than its sheet is cut short.
    """
    grey = all(sheet.mode == "L" for sheet in sheets)
    width, height = sheets[0].size
    columns = min(columns or len(sheets), len(sheets))
    rows = math.ceil(len(sheets) / columns)
    size = (
        columns * (width + MARGIN) + MARGIN,
        rows * (height + CAPTION_HEIGHT) + MARGIN + (CAPTION_HEIGHT if heading else 0),
    )
    page = Image.new("L" if grey else "RGB", size, PAPER if grey else (PAPER,) * 3)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=15)
    ink = INK if grey else (INK,) * 3
    draw.text((MARGIN, 6), heading, fill=ink, font=font)
    for position, (sheet, caption) in enumerate(zip(sheets, captions, strict=True)):
        left = MARGIN + position % columns * (width + MARGIN)
        top = position // columns * (height + CAPTION_HEIGHT)
        top += CAPTION_HEIGHT if heading else 0
        page.paste(sheet, (left, top + CAPTION_HEIGHT))
        words = _fitting(caption, width, draw, font)
        draw.text((left, top + 4), words, fill=ink, font=font)
    return page


def _fitting(
    words: str,
    width: int,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> str:
    words = words.replace("\n", " ")
    if draw.textlength(words, font=font) <= width + MARGIN:
        return words
    while words and draw.textlength(f"{words}...", font=font) > width:
        words = words[:-1]
    return f"{words}..."


def sample_sheets(run: RunFolder) -> dict[int, Path]:
    """The run's sample grids by step, in order."""
    return {step_of(file): file for file in numbered(run.samples, "png")}


def images_per_step(run: RunFolder) -> int:
    """Real images that one step of the run shows to each discriminator."""
    config = run.config()
    repeats = config.get("gan", {}).get("discriminator_steps", 1)
    return int(config["train"]["batch_size"]) * int(repeats)


def sheets_by_images(run: RunFolder) -> dict[int, Path]:
    """The run's sample grids by the number of images seen, in order."""
    files = sample_sheets(run)
    scale = images_per_step(run) if files else 0
    return {step * scale: file for step, file in files.items()}


def nearest(sheets: Mapping[int, Path], images: int) -> int | None:
    """The number of images of the sheet made at about `images`; None if there is none.

    Runs whose steps show different numbers of images never stop at quite the same one.
    """
    closest = min(sheets, key=lambda n: abs(n - images), default=None)
    if closest is None or abs(closest - images) > SAME * images:
        return None
    return closest


def shared_sheets(runs: Sequence[RunFolder]) -> dict[int, list[Path]]:
    """The sample grids of all runs by the number of images seen, where every run has one; by that
    of the first run."""
    every = [sheets_by_images(run) for run in runs]
    shared = {}
    for images in every[0] if every else ():
        places = [nearest(sheets, images) for sheets in every]
        files = [sheets[n] for sheets, n in zip(every, places, strict=True) if n is not None]
        if len(files) == len(every):
            shared[images] = files
    return shared


def animation(runs: Sequence[RunFolder], titles: Sequence[str], path: Path) -> None:
    """A GIF of the runs' samples on fixed latents, side by side, as training goes on.

    Shows the numbers of images at which every run has a sample. Raises UserError if there are none.
    """
    moments = shared_sheets(runs)
    if not moments:
        raise UserError(f"the runs {', '.join(str(run.path) for run in runs)} share no sample step")
    frames = [
        side_by_side(
            [open_sheet(file) for file in files],
            [f"{title}   {images:,} images" for title in titles],
        )
        for images, files in moments.items()
    ]
    with writing(path):
        write_bytes(path, gif(frames))


def gif(frames: Sequence[Image.Image], milliseconds: int = FRAME_MILLISECONDS) -> bytes:
    """An endless film of frames of one size, in few colours; the last one stays for a while."""
    reduced = [_in_few_colours(frame) for frame in frames]
    durations = [milliseconds] * (len(frames) - 1) + [LAST_FRAME_MILLISECONDS]
    stream = io.BytesIO()
    reduced[0].save(
        stream, format="GIF", save_all=True, append_images=reduced[1:], duration=durations, loop=0
    )
    return stream.getvalue()


def corner(sheet: Image.Image, resolution: int, most: int) -> Image.Image:
    """At most `most` x `most` images of a grid, those at its upper left.

    `resolution` is the side of one image in pixels.
    """
    across = [
        min(most, max(1, (side - GAP) // (resolution + GAP)))
        for side in (sheet.width, sheet.height)
    ]
    width, height = (GAP + n * (resolution + GAP) for n in across)
    return sheet.crop((0, 0, min(width, sheet.width), min(height, sheet.height)))


def png(picture: Image.Image) -> bytes:
    """The picture as a small PNG file."""
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _in_few_colours(frame: Image.Image) -> Image.Image:
    """16 greys or 128 colours, without dithering: a third of the size, and hardly to be seen."""
    if frame.mode == "L":
        return frame.point([round(value / 17) * 17 for value in range(256)])
    return frame.quantize(128, dither=Image.Dither.NONE)


def open_sheet(file: Path) -> Image.Image:
    """A sample grid, read. Raises OSError if it is damaged."""
    with Image.open(file) as picture:
        picture.load()
        return picture.copy()
