"""Charts of the training itself: losses, selection of discriminators, speed and memory."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from d3gan.report import wording
from d3gan.report.chart import INK, PAPER, Chart, Style, row_axes, row_title, styles
from d3gan.report.comparison import Comparison, Runs, run_values
from d3gan.runs import RunFolder

Floats = npt.NDArray[np.float64]

BINS = 100
"""Number of points of a loss curve; each is the mean over an equal part of the training."""
MOST_LINES = 4
"""Largest number of discriminators whose losses are drawn separately."""

# Losses


@dataclass(frozen=True)
class Losses:
    """Losses of R runs of a method with N discriminators, in equal parts of the training."""

    images: Floats
    """Images seen at the end of each part [BINS]."""
    generator: Floats
    """[R, BINS], NaN where a run has no rows."""
    discriminators: Floats
    """[R, BINS, N]"""


def method_losses(folders: Sequence[RunFolder]) -> Losses | None:
    """Return the losses in the metrics rows of the runs, or None if there are none."""
    tables = []
    for run in folders:
        rows = [row for row in run.metrics() if row["kind"] == "train" and "loss_g" in row]
        if rows:
            tables.append([[row["images"], row["loss_g"], *row["loss_d"]] for row in rows])
    if not tables:
        return None
    width = min(len(table[0]) for table in tables)
    end = max(row[0] for table in tables for row in table)
    edges = np.linspace(0, end, min(BINS, max(len(table) for table in tables)) + 1)
    binned = np.stack([_means(np.array([row[:width] for row in t], float), edges) for t in tables])
    return Losses(edges[1:], binned[:, :, 0], binned[:, :, 1:])


def _means(table: Floats, edges: Floats) -> Floats:
    """Return the mean losses of a run between `edges`, which are numbers of images.

    A row [images, losses...] is itself a mean since the row before, and rows are not equidistant.
    """
    images = np.concatenate([[0.0], table[:, 0]])
    sums = np.cumsum(np.diff(images)[:, None] * table[:, 1:], axis=0)
    sums = np.concatenate([np.zeros_like(sums[:1]), sums])
    at_edges = np.stack([np.interp(edges, images, column) for column in sums.T], axis=1)
    means: Floats = np.diff(at_edges, axis=0) / np.diff(edges)[:, None]
    means[edges[1:] > images[-1] * (1 + 1e-9)] = math.nan
    return means


def _mean_over_runs(values: Floats) -> Floats:
    with warnings.catch_warnings():  # NaN, and no line, where no run has a row
        warnings.filterwarnings("ignore", message="Mean of empty slice")
        mean: Floats = np.nanmean(values, axis=0)
    return mean


def losses(comparison: Comparison, runs: Runs) -> list[Chart]:
    """Plot the losses of generator and discriminators, one chart per method, all on one scale."""
    found = {name: method_losses(folders) for name, folders in runs.items()}
    known = {name: values for name, values in found.items() if values}
    if not known:
        return []
    curves = [
        curve
        for values in known.values()
        for curve in (_mean_over_runs(values.generator), *_discriminator_lines(values).values())
    ]
    highest = max(float(np.nanmax(curve)) for curve in curves)
    lowest = min(0.0, *(float(np.nanmin(curve)) for curve in curves))
    limits = (lowest, highest + 0.06 * (highest - lowest) if highest > lowest else lowest + 1)
    unit = wording.axis_unit("images", max(values.images[-1] for values in known.values()))
    look = styles(comparison)
    return [
        _loss_chart(number, name, values, look[name], limits, unit)
        for number, (name, values) in enumerate(known.items(), start=1)
    ]


def _discriminator_lines(values: Losses) -> dict[str, Floats]:
    """Return the loss of each discriminator, or their mean if there are many; means over runs."""
    table = _mean_over_runs(values.discriminators)
    count = table.shape[1]
    if count > MOST_LINES:
        return {f"mean of {count} D": table.mean(axis=1)}
    return {f"D{k + 1}" if count > 1 else "D": table[:, k] for k in range(count)}


def _loss_chart(
    number: int,
    name: str,
    values: Losses,
    style: Style,
    limits: tuple[float, float],
    unit: tuple[float, str],
) -> Chart:
    generator, lines = _mean_over_runs(values.generator), _discriminator_lines(values)
    factor, label = unit

    def draw(axes: Axes) -> None:
        x = factor * values.images
        for run in values.generator:
            axes.plot(x, run, color=style.colour, linewidth=0.6, alpha=0.4)
        drawn = [axes.plot(x, generator, color=style.colour, linewidth=2)[0]]
        patterns = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
        for line, pattern in zip(lines.values(), patterns, strict=False):
            drawn += axes.plot(x, line, color=INK, linewidth=1.4, linestyle=pattern)
        axes.legend(
            drawn, ["G", *lines], loc="upper center", bbox_to_anchor=(0.5, 1.19),
            ncols=len(drawn), frameon=False, labelcolor=INK, fontsize=10, handlelength=2.6,
        )  # fmt: skip
        axes.set(xlabel=label, ylabel="loss", ylim=limits)
        axes.set_xlim(left=0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: wording.tick(value)))

    every = {"G": generator, **lines}
    last = [f"{key} {wording.number(_last(line))}" for key, line in every.items()]
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name)
    return Chart(
        f"losses-{number}-{plain[:80]}",
        f"Losses of {name}",
        f"Losses of {name} at the end of training: {', '.join(last)}; "
        f"mean over {wording.plural(len(values.generator), 'run')}.",
        draw,
        height=2.5,
    )


def _last(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else None


# Selection of discriminators


def mean_shares(of_runs: Sequence[Sequence[float]]) -> str:
    """Format the share of steps of each discriminator, mean over runs: ``D1 40 %, D2 60 %``."""
    shares = [wording.percent(wording.mean(part)) for part in zip(*of_runs, strict=False)]
    return ", ".join(f"D{k} {share}" for k, share in enumerate(shares, start=1))


def selection(comparison: Comparison) -> Chart | None:
    """Plot how often the generator faced each discriminator, one bar per run."""
    shares = {
        name: [chosen for chosen in of_runs if chosen and len(chosen) > 1]
        for name, of_runs in run_values(comparison, "chosen").items()
    }
    shares = {name: of_runs for name, of_runs in shares.items() if of_runs}
    if not shares:
        return None
    look = styles(comparison)

    def draw(axes: Axes) -> None:
        for row, (name, of_runs) in enumerate(shares.items()):
            count, thickness = len(of_runs[0]), 0.46 / len(of_runs)
            row_title(axes, 0.3 - row, name, "D1 left" if count == 2 else "D1, D2, ... from left")
            for i, share in enumerate(of_runs):
                left = 0.0
                for k, part in enumerate(share):
                    axes.barh(
                        0.12 - row - (i + 0.5) * thickness, 100 * part, 0.85 * thickness, left,
                        color=look[name].colour, alpha=1.0 - 0.72 * k / (len(share) - 1),
                    )  # fmt: skip
                    left += 100 * part
            equal = [100 / count] * 2
            axes.plot(equal, [0.12 - row, -0.34 - row], color=INK, lw=1.2, linestyle=(0, (2, 1.5)))
        row_axes(axes, len(shares))
        axes.grid(visible=False)
        axes.set_xlim(0, 100)
        axes.set(xlabel="share of steps, %")

    words = "; ".join(f"{name} {mean_shares(of_runs)}" for name, of_runs in shares.items())
    return Chart(
        "choice",
        "How often the generator faced each discriminator",
        f"Share of steps in which each discriminator was chosen, mean over runs: {words}.",
        draw,
        height=0.75 + len(shares) * (0.5 + 0.1 * max(map(len, shares.values()))),
    )


# Speed and memory


@dataclass(frozen=True)
class Cost:
    """A quantity with one value per run."""

    title: str
    better: str
    words: Callable[[float | None], str]
    """Formats a value."""
    unit: Callable[[float], tuple[float, str]]
    """Maps the highest value to the factor and the unit of the axis."""


COSTS: Final = {
    "images_per_second": Cost(
        "Throughput",
        "higher is better",
        lambda value: f"{wording.number(value)} images/s",
        lambda highest: (1.0, "images/s"),
    ),
    "epoch_seconds": Cost("Epoch time", "lower is better", wording.duration, wording.time_unit),
    "peak_memory_bytes": Cost(
        "Peak memory",
        "lower is better",
        lambda value: wording.quantity(value, "B"),
        lambda highest: wording.si_unit(highest, "B"),
    ),
    "utilisation": Cost(
        "Device utilisation", "higher is better", wording.percent, lambda highest: (100.0, "%")
    ),
}


def cost(comparison: Comparison, key: str) -> Chart | None:
    """Plot one quantity of all runs: a bar for the mean of each method, a dot for each run."""
    values = {n: wording.finite(found) for n, found in run_values(comparison, key).items()}
    values = {name: known for name, known in values.items() if known}
    if not values:
        return None
    about = COSTS[key]
    highest = max(value for known in values.values() for value in known)
    factor, unit = about.unit(highest)
    look = styles(comparison)
    means = {name: wording.mean(known) or 0.0 for name, known in values.items()}

    def draw(axes: Axes) -> None:
        for row, (name, known) in enumerate(values.items()):
            row_title(axes, 0.3 - row, name, about.words(means[name]))
            axes.barh(-row, factor * means[name], 0.22, color=look[name].colour, alpha=0.85)
            axes.plot(
                [factor * value for value in known], [-row] * len(known), "o", markersize=4,
                color=PAPER, markeredgecolor=INK, markeredgewidth=0.9,
            )  # fmt: skip
        row_axes(axes, len(values))
        axes.set_xlim(0, 100 if key == "utilisation" else 1.05 * factor * highest or 1)
        axes.set(xlabel=f"{about.title.lower()}, {unit}")

    words = "; ".join(f"{name} {about.words(mean)}" for name, mean in means.items())
    return Chart(
        key.removesuffix("_bytes").replace("_", "-"),
        f"{about.title} ({about.better})",
        f"{about.title}, mean over runs, {about.better}: {words}.",
        draw,
        height=0.75 + 0.5 * len(values),
    )
