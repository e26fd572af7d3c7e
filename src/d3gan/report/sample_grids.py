"""Select the sample grids of a study: one grid of each method, and an animation of all methods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from d3gan.errors import UserError
from d3gan.report.comparison import Runs
from d3gan.report.pictures import corner, gif, of_one_size, open_sheet, png, side_by_side
from d3gan.report.wording import listed
from d3gan.runs import RunFolder, numbered, step_of, write_bytes, writing

MOST_SHEET_BYTES = 2_500_000
"""Limit for all grids of a page together."""
MOST_FILM_BYTES = 2_000_000
MOST_FRAMES = 24
ACROSS = (8, 6, 4, 3, 2)
"""Images across a grid; the first number that fits into the size limit is used."""
FILM_ACROSS = (5, 4, 3, 2)
FILM_COLUMNS = 3
FILM_WIDTH = 240
"""Smallest width of a grid in the animation in pixels, so that its caption can be read."""
TOLERANCE = 0.01
"""Relative difference of two numbers of images that count as the same moment of training."""


@dataclass(frozen=True)
class Sheet:
    """Sample grid of one method."""

    picture: bytes | None
    """PNG file, or None if there is none that can be shown."""
    size: tuple[int, int]
    """Width and height in pixels."""
    images: int | None
    """Number of images the run had seen."""
    caption: str
    """Seed of the run and number of images it had seen."""


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
    config = run.config()
    repeats = config.get("gan", {}).get("discriminator_steps", 1)
    per_step = int(config["train"]["batch_size"]) * int(repeats)
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


def sheets(runs: Runs, budget: float | None) -> dict[str, Sheet]:
    """Return the last grid of each method that all methods share within `budget` images."""
    chosen = chosen_runs(runs)
    shared = [n for n in shared_sheets(list(chosen.values())) if budget is None or n <= budget]
    limit = MOST_SHEET_BYTES // max(1, len(chosen))
    found = {}
    for name in runs:
        run = chosen.get(name)
        if run is None:
            found[name] = Sheet(None, (0, 0), None, "no samples")
            continue
        files = sheets_by_images(run)
        within = [n for n in files if budget is None or n <= budget]
        images = nearest(files, shared[-1]) if shared else None
        if images is None:
            images = max(within, default=min(files))
        picture, size = _small(files[images], _resolution(run), limit)
        found[name] = Sheet(picture, size, images, f"seed {_seed(run)}, after {images:,} images")
    return found


def _small(file: Path, resolution: int, limit: int) -> tuple[bytes | None, tuple[int, int]]:
    """Return the grid as a PNG file of at most `limit` bytes, with fewer images if necessary."""
    try:
        sheet = open_sheet(file)
    except OSError:  # truncated, or not a picture
        return None, (0, 0)
    for across in ACROSS:
        part = corner(sheet, resolution, across)
        content = png(part)
        if len(content) <= limit:
            return content, part.size
    return None, (0, 0)


def film(runs: Runs, budget: float | None) -> Film | None:
    """Return an animation of one run of each method, or None if they share fewer than two grids."""
    chosen = chosen_runs(runs)
    shared = shared_sheets(list(chosen.values()))
    moments = {n: files for n, files in shared.items() if budget is None or n <= budget}
    return _film(list(chosen.values()), list(chosen), moments) if len(moments) > 1 else None


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
    for across in FILM_ACROSS if spread else ():
        frames = []
        for images in spread:
            try:
                parts = [
                    corner(open_sheet(file), _resolution(run), across)
                    for file, run in zip(moments[images], runs, strict=True)
                ]
            except OSError:  # a damaged picture
                return None
            frames.append(
                side_by_side(
                    of_one_size(parts, FILM_WIDTH),
                    names,
                    columns=FILM_COLUMNS,
                    heading=f"{images:,} images",
                )
            )
        content = gif(frames)
        if len(content) <= MOST_FILM_BYTES:
            alt = (
                f"Animation: images generated by {listed(names)} from the same latents during "
                f"training, from {spread[0]:,} to {spread[-1]:,} images seen"
            )
            return Film(content, frames[0].size, len(frames), alt)
    return None


def _spread(values: Sequence[int], most: int) -> list[int]:
    """Return at most `most` of the values, evenly spaced, with the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
