"""Charts of what training was like: losses, choice of discriminator, speed and memory."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from d3gan.report import wording
from d3gan.report.chart import (
    INK,
    PAPER,
    Chart,
    Comparison,
    Floats,
    Runs,
    Style,
    finite,
    row_axes,
    row_title,
    styles,
    unit_of,
)
from d3gan.runs import RunFolder

BINS = 100
"""Points of a curve of losses: means over so many equal parts of the training."""
MOST_LINES = 4
"""Discriminators that are drawn each by itself."""

# Losses


@dataclass(frozen=True)
class Losses:
    """Losses of a method's runs, in equal parts of the training."""

    images: Floats
    """[BINS]"""
    generator: Floats
    """[R, BINS], NaN where a run has no row."""
    discriminators: Floats
    """[R, BINS, N]"""


def method_losses(folders: Sequence[RunFolder]) -> Losses | None:
    """The losses in the runs' rows; None if there are none."""
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
    """Means of a run's losses between `edges`, images. A row [images, losses...] is itself a mean
    since the row before; rows come at any distance from one another."""
    images = np.concatenate([[0.0], table[:, 0]])
    sums = np.cumsum(np.diff(images)[:, None] * table[:, 1:], axis=0)
    sums = np.concatenate([np.zeros_like(sums[:1]), sums])
    at_edges = np.stack([np.interp(edges, images, column) for column in sums.T], axis=1)
    means: Floats = np.diff(at_edges, axis=0) / np.diff(edges)[:, None]
    means[edges[1:] > images[-1] * (1 + 1e-9)] = math.nan
    return means


def _mean_over_runs(values: Floats) -> Floats:
    with warnings.catch_warnings():  # where no run has a row there is no mean, and no line
        warnings.filterwarnings("ignore", message="Mean of empty slice")
        mean: Floats = np.nanmean(values, axis=0)
    return mean


def losses(comparison: Comparison, runs: Runs) -> list[Chart]:
    """One chart per method: the generator's loss and each discriminator's. All with one scale."""
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
    most = max(values.images[-1] for values in known.values())
    factor, label = unit_of("images", most)
    return [
        _loss_chart(number, name, values, styles(comparison)[name], limits, factor, label)
        for number, (name, values) in enumerate(known.items(), start=1)
    ]


def _discriminator_lines(values: Losses) -> dict[str, Floats]:
    """The mean loss over runs of each discriminator, or of all together where they are many."""
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
    factor: float,
    label: str,
) -> Chart:
    generator = _mean_over_runs(values.generator)
    lines = _discriminator_lines(values)

    def draw(axes: Axes) -> None:
        x = factor * values.images
        for run in values.generator:
            axes.plot(x, run, color=style.colour, linewidth=0.6, alpha=0.4)
        drawn = [axes.plot(x, generator, color=style.colour, linewidth=2)[0]]
        patterns = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
        for (_, line), pattern in zip(lines.items(), patterns, strict=False):
            drawn += axes.plot(x, line, color=INK, linewidth=1.4, linestyle=pattern)
        axes.legend(
            drawn, ["G", *lines], loc="upper center", bbox_to_anchor=(0.5, 1.19),
            ncols=len(drawn), frameon=False, labelcolor=INK, fontsize=10, handlelength=2.6,
        )  # fmt: skip
        axes.set(xlabel=label, ylabel="loss", ylim=limits)
        axes.set_xlim(left=0)

    last = [f"{which} {wording.number(_last(line))}" for which, line in lines.items()]
    return Chart(
        f"losses-{number}-{_file_word(name)}",
        f"Losses of {name}",
        f"Losses of {name} at the end of training: G {wording.number(_last(generator))}, "
        f"{', '.join(last)}; mean over {wording.plural(len(values.generator), 'run')}.",
        draw,
        height=2.5,
    )


def _last(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else None


def _file_word(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name)[:80]


# Choice of discriminator


def choice(comparison: Comparison) -> Chart | None:
    """How often each discriminator was chosen, a bar for each run."""
    shares = {
        name: [run["chosen"] for run in entries if run.get("chosen") and len(run["chosen"]) > 1]
        for name, entries in comparison["runs"].items()
    }
    shares = {name: of_runs for name, of_runs in shares.items() if of_runs}
    if not shares:
        return None
    look = styles(comparison)
    bars = sum(map(len, shares.values()))
    thickness = 0.2

    def draw(axes: Axes) -> None:
        top, tops = 0.0, {}
        for name, of_runs in shares.items():
            tops[name] = top
            for i, share in enumerate(of_runs):
                left = 0.0
                y = top - 0.22 - i * thickness
                for k, part in enumerate(share):
                    axes.barh(
                        y, 100 * part, thickness * 0.8, left, color=look[name].colour,
                        alpha=1.0 - 0.72 * k / (len(share) - 1),
                    )  # fmt: skip
                    left += 100 * part
            top -= 0.42 + len(of_runs) * thickness
        for name, y in tops.items():
            note = "D1 left" if len(shares[name][0]) == 2 else "D1, D2, ... from the left"
            row_title(axes, y + 0.03, name, note)
            parts = len(shares[name][0])
            bottom = y - 0.22 - (len(shares[name]) - 0.5) * thickness
            axes.plot(
                [100 / parts] * 2, [bottom, y - 0.22 + 0.5 * thickness], color=INK,
                linewidth=1.2, linestyle=(0, (2, 1.5)),
            )  # fmt: skip
        axes.set_xlim(0, 100)
        axes.set_ylim(top + 0.12, 0.2)
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        axes.set(xlabel="share of steps, %")

    told = []
    for name, of_runs in shares.items():
        parts = min(map(len, of_runs))
        means = [wording.percent(wording.mean([run[k] for run in of_runs])) for k in range(parts)]
        told.append(f"{name} {', '.join(f'D{k + 1} {share}' for k, share in enumerate(means))}")
    return Chart(
        "choice",
        "How often the generator faced each discriminator",
        f"Share of steps in which each discriminator was chosen, mean over runs: "
        f"{'; '.join(told)}.",
        draw,
        height=0.75 + (0.42 * len(shares) + thickness * bars),
    )


# Cost


@dataclass(frozen=True)
class Cost:
    """A quantity that each run has one value of."""

    title: str
    better: str
    words: Callable[[float | None], str]
    unit: Callable[[float], tuple[float, str]]
    """From the highest value to the factor and the label of the axis."""


def _labelled(unit: tuple[float, str], label: str) -> tuple[float, str]:
    return unit[0], f"{label}, {unit[1]}"


COSTS = {
    "images_per_second": Cost(
        "Throughput",
        "more is better",
        lambda value: f"{wording.number(value)} images/s",
        lambda highest: (1.0, "images per second"),
    ),
    "epoch_seconds": Cost(
        "Time of an epoch",
        "less is better",
        wording.duration,
        lambda highest: _labelled(wording.time_unit(highest), "time of an epoch"),
    ),
    "peak_memory_bytes": Cost(
        "Peak memory",
        "less is better",
        lambda value: wording.quantity(value, "B"),
        lambda highest: _labelled(wording.si_unit(highest, "B"), "peak memory"),
    ),
    "utilisation": Cost(
        "Utilisation of the device",
        "more is better",
        wording.percent,
        lambda highest: (100.0, "utilisation, %"),
    ),
}


def cost(comparison: Comparison, key: str) -> Chart | None:
    """One quantity of all runs: a bar for the mean of each method, a dot for each run."""
    values = {
        name: finite(run.get(key) for run in entries)
        for name, entries in comparison["runs"].items()
    }
    values = {name: known for name, known in values.items() if known}
    if not values:
        return None
    about = COSTS[key]
    highest = max(value for known in values.values() for value in known)
    factor, label = about.unit(highest)
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
        axes.set(xlabel=label)

    told = "; ".join(f"{name} {about.words(mean)}" for name, mean in means.items())
    return Chart(
        key.removesuffix("_bytes").replace("_", "-"),
        f"{about.title} ({about.better})",
        f"{about.title}, mean over runs, {about.better}: {told}.",
        draw,
        height=0.75 + 0.5 * len(values),
    )
