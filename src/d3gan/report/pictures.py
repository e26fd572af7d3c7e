"""Pictures from run folders: runs side by side, and as an animation of their training."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from d3gan.errors import UserError
from d3gan.runs import RunFolder, numbered, step_of, writing

MARGIN = 8
CAPTION_HEIGHT = 26
FRAME_MILLISECONDS = 100
LAST_FRAME_MILLISECONDS = 3000
PAPER, INK = 255, 0


def side_by_side(sheets: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """Sheets of one size next to each other, a caption above each, on white."""
    grey = all(sheet.mode == "L" for sheet in sheets)
    width, height = sheets[0].size
    size = (
        len(sheets) * (width + MARGIN) + MARGIN,
        height + CAPTION_HEIGHT + MARGIN,
    )
    page = Image.new("L" if grey else "RGB", size, PAPER if grey else (PAPER,) * 3)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=15)
    for position, (sheet, caption) in enumerate(zip(sheets, captions, strict=True)):
        left = MARGIN + position * (width + MARGIN)
        page.paste(sheet, (left, CAPTION_HEIGHT))
        draw.text((left, 4), caption, fill=INK if grey else (INK,) * 3, font=font)
    return page


def sample_sheets(run: RunFolder) -> dict[int, Path]:
    """The run's sample grids by step, in order."""
    return {step_of(file): file for file in numbered(run.samples, "png")}


def animation(runs: Sequence[RunFolder], titles: Sequence[str], path: Path) -> None:
    """A GIF of the runs' samples on fixed latents, side by side, as training goes on.

    Shows the steps at which every run has a sample. Raises UserError if there are none.
    """
    sheets = [sample_sheets(run) for run in runs]
    steps = sorted(set.intersection(*(set(by_step) for by_step in sheets)))
    if not steps:
        raise UserError(f"the runs {', '.join(str(run.path) for run in runs)} share no sample step")
    batch_sizes = [run.config()["train"]["batch_size"] for run in runs]
    frames = []
    for step in steps:
        pictures = [_open(by_step[step]) for by_step in sheets]
        captions = [
            f"{title}   {step * batch_size:,} images"
            for title, batch_size in zip(titles, batch_sizes, strict=True)
        ]
        frames.append(_in_few_colours(side_by_side(pictures, captions)))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    durations = [FRAME_MILLISECONDS] * (len(frames) - 1) + [LAST_FRAME_MILLISECONDS]
    with writing(path):
        try:
            frames[0].save(
                temporary,
                format="GIF",
                save_all=True,
                append_images=frames[1:],
                duration=durations,
                loop=0,
            )
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _in_few_colours(frame: Image.Image) -> Image.Image:
    """16 greys or 128 colours, without dithering: a third of the size, and hardly to be seen."""
    if frame.mode == "L":
        return frame.point([round(value / 17) * 17 for value in range(256)])
    return frame.quantize(128, dither=Image.Dither.NONE)


def _open(file: Path) -> Image.Image:
    with Image.open(file) as picture:
        picture.load()
        return picture.copy()
