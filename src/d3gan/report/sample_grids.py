"""What the generators of a study made: one grid of each method, and a film of all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from d3gan.report.pictures import (
    corner,
    gif,
    nearest,
    open_sheet,
    png,
    shared_sheets,
    sheets_by_images,
    side_by_side,
)
from d3gan.runs import RunFolder

MOST_SHEET_BYTES = 2_500_000
"""Of all grids of a page together."""
MOST_FILM_BYTES = 2_000_000
MOST_FRAMES = 24
ACROSS = (8, 6, 4, 3, 2)
"""Images across a grid: as many as there is room for."""
FILM_ACROSS = (5, 4, 3, 2)
FILM_MILLISECONDS = 250
FILM_COLUMNS = 3
FILM_WIDTH = 240
"""Pixels that a grid of the film has at least, so that its caption can be read."""

Runs = Mapping[str, Sequence[RunFolder]]


@dataclass(frozen=True)
class Sheet:
    """The grid of one method."""

    picture: bytes | None
    """A PNG file; None if there is none that can be shown."""
    size: tuple[int, int]
    images: int | None
    """That the run had seen."""
    told: str
    """Of which run it is, and when."""


@dataclass(frozen=True)
class Film:
    """An animation of all methods."""

    content: bytes
    """A GIF file."""
    names: tuple[str, ...]
    """The methods that have samples."""
    size: tuple[int, int]
    frames: int
    first: int
    """Images seen at the first frame."""
    last: int


def chosen_runs(runs: Runs) -> dict[str, RunFolder]:
    """One run of each method that has sample grids, of one seed for all where that can be."""
    seeds: dict[str, dict[int, RunFolder]] = {}
    for name, folders in runs.items():
        for folder in folders:
            if sheets_by_images(folder):
                seeds.setdefault(name, {}).setdefault(_seed(folder), folder)
    common = set.intersection(*map(set, seeds.values())) if seeds else set()
    return {name: folders[min(common or folders)] for name, folders in seeds.items()}


def _seed(run: RunFolder) -> int:
    return int(run.config().get("seed", 0))


def _resolution(run: RunFolder) -> int:
    return int(run.config().get("data", {}).get("resolution", 32))


def sheets(runs: Runs, budget: float | None) -> dict[str, Sheet]:
    """A grid of each method, as late as all have one and no later than `budget` images."""
    chosen = chosen_runs(runs)
    shared = [n for n in shared_sheets(list(chosen.values())) if budget is None or n <= budget]
    room = MOST_SHEET_BYTES // max(1, len(chosen))
    found = {}
    for name in runs:
        run = chosen.get(name)
        if run is None:
            found[name] = Sheet(None, (0, 0), None, "no samples")
            continue
        files = sheets_by_images(run)
        same = nearest(files, shared[-1]) if shared else None
        images = _latest(list(files), budget) if same is None else same
        told = f"seed {_seed(run)}, after {images:,} images"
        content, size = _small(files[images], _resolution(run), room)
        found[name] = Sheet(content, size, images, told)
    return found


def _latest(images: Sequence[int], budget: float | None) -> int:
    within = [n for n in images if budget is None or n <= budget]
    return max(within) if within else min(images)


def _small(file: Path, resolution: int, room: int) -> tuple[bytes | None, tuple[int, int]]:
    """The grid as a PNG file of at most `room` bytes, of fewer images if it must be."""
    try:
        sheet = open_sheet(file)
    except OSError:  # cut short, or no picture at all
        return None, (0, 0)
    for across in ACROSS:
        part = corner(sheet, resolution, across)
        content = png(part)
        if len(content) <= room:
            return content, part.size
    return None, (0, 0)


def film(runs: Runs, budget: float | None) -> Film | None:
    """One run of each method learning, on the same latents; None where there is nothing to show."""
    chosen = chosen_runs(runs)
    names, folders = list(chosen), list(chosen.values())
    shared = shared_sheets(folders)
    moments = [n for n in shared if budget is None or n <= budget]
    if len(moments) < 2:
        return None
    moments = _spread(moments, MOST_FRAMES)
    for across in FILM_ACROSS:
        try:
            frames = [
                side_by_side(
                    _alike(
                        [
                            corner(open_sheet(file), _resolution(folder), across)
                            for file, folder in zip(shared[n], folders, strict=True)
                        ]
                    ),
                    names,
                    columns=FILM_COLUMNS,
                    heading=f"{n:,} images",
                )
                for n in moments
            ]
        except OSError:  # a damaged picture
            return None
        content = gif(frames, FILM_MILLISECONDS)
        if len(content) <= MOST_FILM_BYTES:
            return Film(content, tuple(names), frames[0].size, len(frames), moments[0], moments[-1])
    return None


def _spread(values: Sequence[int], most: int) -> list[int]:
    """At most so many of the values, evenly, with the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def _alike(sheets: Sequence[Image.Image]) -> list[Image.Image]:
    """All as large as the largest, in whole multiples of their pixels where they are alike."""
    width = max(sheet.width for sheet in sheets)
    height = max(sheet.height for sheet in sheets)
    factor = max(1, -(-FILM_WIDTH // width))
    size = (width * factor, height * factor)
    return [sheet.resize(size, Image.Resampling.NEAREST) for sheet in sheets]
