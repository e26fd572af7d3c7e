"""Select the sample grids of a study: one grid of each method, and an animation of all methods."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from d3gan.config_files import load_file
from d3gan.errors import UserError
from d3gan.files import write_bytes, writing
from d3gan.images import GAP
from d3gan.report.comparison import Runs
from d3gan.report.pictures import corner, gif, of_one_size, open_sheet, png, side_by_side
from d3gan.report.wording import listed
from d3gan.runs import RunFolder, numbered, step_of

SHEET_PIXELS = 800_000
"""Limit for all grids of a page together; at most three bytes a pixel."""
FILM_PIXELS = 3_600_000
"""Limit for all frames of an animation together, before they are enlarged."""
MOST_FRAMES = 24
SHEET_ACROSS, FILM_ACROSS = 8, 5
"""Largest number of images across a grid."""
FILM_COLUMNS = 3
FILM_WIDTH = 240
"""Smallest width of a grid in the animation in pixels, so that its caption can be read."""
TOLERANCE = 0.01
"""Relative difference of two numbers of images that count as the same moment of training."""


MOST_NEWEST = 12
"""Largest number of runs whose newest grids are shown."""


@dataclass(frozen=True)
class Sheet:
    """Sample grid of one run."""

    picture: bytes | None
    """PNG file, or None if there is none that can be shown."""
    size: tuple[int, int]
    """Width and height in pixels."""
    run: RunFolder | None
    """The run; None if no run of the method has samples."""
    images: int | None
    """Number of images the run had seen."""
    caption: str
    """Seed of the run and number of images it had seen; names of damaged files."""


@dataclass(frozen=True)
class Film:
    """Animation of the sample grids of several methods."""

    content: bytes
    """GIF file."""
    size: tuple[int, int]
    """Width and height in pixels."""
    frames: int
    alt: str
    """Description in words."""


def sheets_by_images(run: RunFolder) -> dict[int, Path]:
    """Return the sample grids of a run by the number of images seen, in order."""
    files = numbered(run.samples, "png")
    if not files:
        return {}
    per_step = load_file(run.config_file).images_per_step
    return {step_of(file) * per_step: file for file in files}


def nearest(sheets: Mapping[int, Path], images: int) -> int | None:
    """Return the number of images of the grid made after about `images`, or None.

    Runs whose steps have different numbers of images rarely stop at exactly the same number.
    """
    closest = min(sheets, key=lambda n: abs(n - images), default=None)
    if closest is None or abs(closest - images) > TOLERANCE * images:
        return None
    return closest


def shared_sheets(runs: Sequence[RunFolder]) -> dict[int, list[Path]]:
    """Return the grids of all runs by the number of images, where every run has one.

    The numbers of images are those of the first run.
    """
    every = [sheets_by_images(run) for run in runs]
    shared = {}
    for images in every[0] if every else ():
        places = [nearest(sheets, images) for sheets in every]
        files = [sheets[n] for sheets, n in zip(every, places, strict=True) if n is not None]
        if len(files) == len(every):
            shared[images] = files
    return shared


def chosen_runs(runs: Runs) -> dict[str, RunFolder]:
    """Return one run with sample grids of each method, of the same seed if possible."""
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


def _part(file: Path, run: RunFolder, most: int, pixels: float) -> Image.Image:
    """Return the upper left part of a grid: at most `most` images across and about `pixels`."""
    resolution = _resolution(run)
    fitting = int(pixels**0.5) // (resolution + GAP)
    return corner(open_sheet(file), resolution, max(2, min(most, fitting)))


def sheets(runs: Runs, budget: float | None) -> dict[str, Sheet]:
    """Return the last grid of each method that all methods share within `budget` images.

    In place of a damaged file, the last readable one before it is shown.
    """
    chosen = chosen_runs(runs)
    shared = [n for n in shared_sheets(list(chosen.values())) if budget is None or n <= budget]
    found = {}
    for name in runs:
        run = chosen.get(name)
        if run is None:
            found[name] = Sheet(None, (0, 0), None, None, "no samples")
            continue
        files = sheets_by_images(run)
        images = nearest(files, shared[-1]) if shared else None
        if images is None:
            within = [n for n in files if budget is None or n <= budget]
            images = max(within, default=min(files))
        found[name] = _sheet(run, files, images, SHEET_PIXELS / len(chosen))
    return found


def newest(runs: Sequence[RunFolder], shown: Collection[Sheet] = ()) -> list[Sheet]:
    """Return the newest grid of each run that has any, if it is not among those `shown`.

    If there are many runs, only the first ones are shown.
    """
    there = {(run_path(sheet), sheet.images) for sheet in shown}
    newest = [(run, files) for run in runs if (files := sheets_by_images(run))]
    wanted = [(run, files) for run, files in newest if (run.path, max(files)) not in there]
    pixels = SHEET_PIXELS / max(1, min(MOST_NEWEST, len(wanted)))
    found = [_sheet(run, files, max(files), pixels) for run, files in wanted[:MOST_NEWEST]]
    return [sheet for sheet in found if (run_path(sheet), sheet.images) not in there]


def run_path(sheet: Sheet) -> Path | None:
    """Return the folder of the run that a sheet shows; None if it shows none."""
    return sheet.run.path if sheet.run else None


def _sheet(run: RunFolder, files: Mapping[int, Path], images: int, pixels: float) -> Sheet:
    """Return the grid after `images` images, or if it is damaged the last readable one before."""
    damaged: list[str] = []
    for before in sorted((n for n in files if n <= images), reverse=True):
        note = f"; {listed(damaged)} cannot be read" if damaged else ""
        caption = f"seed {_seed(run)}, after {before:,} images{note}"
        try:
            part = _part(files[before], run, SHEET_ACROSS, pixels)
            return Sheet(png(part), part.size, run, before, caption)
        except OSError:  # truncated, or not a picture
            damaged.append(files[before].name)
    return Sheet(None, (0, 0), run, images, f"{listed(damaged)} cannot be read")


def film(runs: Runs, budget: float | None) -> Film | None:
    """Return an animation of one run of each method, or None if they share fewer than two grids."""
    chosen = chosen_runs(runs)
    shared = shared_sheets(list(chosen.values()))
    moments = {n: files for n, files in shared.items() if budget is None or n <= budget}
    made = _film(list(chosen.values()), list(chosen), moments)
    return made if made and made.frames > 1 else None


def animation(runs: Sequence[RunFolder], titles: Sequence[str], path: Path) -> None:
    """Write a GIF of the samples of runs side by side, at the numbers of images they share.

    Raises UserError if they share none.
    """
    made = _film(runs, titles, shared_sheets(runs))
    if made is None:
        names = ", ".join(str(run.path) for run in runs)
        raise UserError(f"no animation: the runs {names} share no sample grid that can be read")
    with writing(path):
        write_bytes(path, made.content)


def _film(
    runs: Sequence[RunFolder], names: Sequence[str], moments: Mapping[int, Sequence[Path]]
) -> Film | None:
    """Return the animation of grids [run] by number of images; None if none can be shown."""
    spread = _spread(list(moments), MOST_FRAMES)
    if not spread:
        return None
    pixels = FILM_PIXELS / len(spread) / len(runs)
    frames = []
    for images in spread:
        try:
            parts = [
                _part(file, run, FILM_ACROSS, pixels)
                for file, run in zip(moments[images], runs, strict=True)
            ]
        except OSError:  # truncated, or not a picture: the animation lacks this moment
            continue
        sheets = of_one_size(parts, FILM_WIDTH)
        heading = f"{images:,} images"
        frames.append(side_by_side(sheets, names, columns=FILM_COLUMNS, heading=heading))
    if not frames:
        return None
    alt = (
        f"Animation: images generated by {listed(names)} from the same latents during training, "
        f"from {spread[0]:,} to {spread[-1]:,} images seen"
    )
    return Film(gif(frames), frames[0].size, len(frames), alt)


def _spread(values: Sequence[int], most: int) -> list[int]:
    """Return at most `most` of the values, evenly spaced, with the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
