"""What all charts of a study share: colours, sizes, axes, and how a chart becomes a figure."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from d3gan.report import wording
from d3gan.report.plots import LINES, MARKERS
from d3gan.runs import RunFolder

Comparison = Mapping[str, Any]
Runs = Mapping[str, Sequence[RunFolder]]
Floats = npt.NDArray[np.float64]

INK, FAINT, GRID, PAPER = "#1f2430", "#5c6470", "#d9dde3", "#ffffff"
# Okabe and Ito 2008, told apart with any colour vision; yellow is darkened, as paper is white.
METHOD_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#b1588f", "#b58900", "#3f97d1", "#7a4a21", "#6b7280",
)  # fmt: skip
CSS_COLOURS = {INK: "var(--ink)", FAINT: "var(--faint)", GRID: "var(--grid)"} | {
    PAPER: "var(--card)",
    **{colour: f"var(--method-{k})" for k, colour in enumerate(METHOD_COLOURS)},
}

WIDTH, HEIGHT = 4.4, 3.0
"""Inches; so small that a phone shows its text at a size that can be read."""


@dataclass(frozen=True)
class Chart:
    """One plot of one pair of axes."""

    name: str
    """Of its file and its ids."""
    title: str
    alt: str
    """The finding in words."""
    draw: Callable[[Axes], None]
    height: float = HEIGHT
    methods: tuple[str, ...] = ()
    """Those to be named by a legend."""


@dataclass(frozen=True)
class Style:
    """How a method is drawn."""

    colour: str
    line: Any
    """matplotlib's word for its dashes."""
    marker: str
    number: int
    """Of the colour."""


def styles(comparison: Comparison) -> dict[str, Style]:
    """Of each method, the same in all charts."""
    found = {}
    for i, name in enumerate(comparison["runs"]):
        k = i % len(METHOD_COLOURS)
        line = LINES[i // len(METHOD_COLOURS) % len(LINES)]
        found[name] = Style(METHOD_COLOURS[k], line, MARKERS[i % len(MARKERS)], k)
    return found


def figure_of(chart: Chart, comparison: Comparison, *, whole: bool) -> Figure:
    """The chart drawn; `whole`: with its title and legend, which a page has outside of it.

    To be called, and the figure saved, within `svg.drawing()`.
    """
    rows = _legend_rows(chart.methods) if whole else []
    height = chart.height + (0.3 + 0.22 * len(rows) if whole else 0)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes: Axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=FAINT, labelcolor=INK, length=3)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    chart.draw(axes)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)
    if whole:
        figure.suptitle(chart.title, color=INK, fontsize=11, x=0.02, ha="left")
    if rows:
        look = styles(comparison)
        handles = [_handle(look[name]) for name in chart.methods]
        names = [legend_name(name) for name in chart.methods]
        figure.legend(
            handles, names, loc="outside lower left", ncols=len(rows[0]), frameon=False,
            labelcolor=INK, fontsize=10,
        )  # fmt: skip
    layout = figure.get_layout_engine()
    if layout:  # once, or saving the figure would draw it twice to find its layout again
        layout.execute(figure)
        figure.set_layout_engine("none")
    return figure


def legend_name(name: str, most: int = 44) -> str:
    """A name of at most so many letters that matplotlib shows as it is, and XML can hold."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    if len(plain) > most:  # cut in the middle: methods differ at their ends
        plain = f"{plain[: most // 2 - 2]}...{plain[-(most - most // 2 - 1) :]}"
    return f" {plain}" if plain.startswith("_") else plain  # which would stay out of a legend


def _legend_rows(names: Sequence[str]) -> list[Sequence[str]]:
    if not names:
        return []
    columns = max(1, min(len(names), 48 // (max(map(len, names)) + 6)))
    return [names[i : i + columns] for i in range(0, len(names), columns)]


def _handle(style: Style) -> Line2D:
    return Line2D(
        [], [], color=style.colour, linestyle=style.line, marker=style.marker, markersize=5
    )


AGAINST = {"images": "images seen", "seconds": "training time", "flops": "compute"}


def unit_of(against: str, highest: float) -> tuple[float, str]:
    """The factor and the label of an axis of images, seconds or flops up to `highest`."""
    if against == "seconds":
        factor, unit = wording.time_unit(highest)
        return factor, f"training time, {unit}"
    if against == "flops":
        factor, unit = wording.si_unit(highest, "FLOP")
        return factor, f"compute, {unit}"
    if highest >= 2e6:
        return 1e-6, "images seen, millions"
    return (1e-3, "images seen, thousands") if highest >= 1e4 else (1.0, "images seen")


def floats(values: Iterable[float | None]) -> Floats:
    """Values as an array, with NaN for what is not known."""
    return np.array([math.nan if value is None else value for value in values], float)


def finite(values: Iterable[float | None]) -> list[float]:
    """Those of the values that are known."""
    return [value for value in values if value is not None and math.isfinite(value)]


def amount(against: str, value: float | None) -> str:
    """So many images, or so much time or compute, in words."""
    if against == "seconds":
        return wording.duration(value)
    if against == "flops":
        return wording.quantity(value, "FLOP")
    return f"{wording.count(value)} images"


def row_title(axes: Axes, y: float, name: str, note: str = "") -> None:
    """A row's name above it, where even a long one has room, and a note at the right."""
    ground = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}
    for x, shift, side, words, colour in (
        (0, 2, "left", legend_name(name, 34), INK),
        (1, 0, "right", note, FAINT),
    ):
        axes.annotate(
            words, (x, y), (shift, 0), xycoords=("axes fraction", "data"), ha=side, va="center",
            textcoords="offset points", color=colour, fontsize=10.5, bbox=ground,
        )  # fmt: skip


def row_axes(axes: Axes, count: int) -> None:
    """Make room for so many rows, at y = 0, -1, ..., each with its title above it."""
    axes.set_ylim(-count + 0.6, 0.52)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
