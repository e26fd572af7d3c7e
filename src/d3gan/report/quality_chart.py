"""The chart that a report opens with: quality against a clock, and when runs reached the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from d3gan.evaluation.metrics.names import COUNTS
from d3gan.report import wording
from d3gan.report.chart import FAINT, PAPER, Chart, Style, legend_name, styles
from d3gan.report.comparison import Comparison, group_title, groups, in_group
from d3gan.report.wording import finite, plural

Floats = npt.NDArray[np.float64]
Group = Mapping[str, Any]

MARKER_GAP: Final = 6.0
"""Distance in points between the markers of two methods on the line of the target."""


@dataclass(frozen=True)
class Line:
    """A run on one clock."""

    x: Floats
    """Cost at each evaluation [n]."""
    images: Floats
    """Images seen at each evaluation [n]."""
    values: Floats
    """The metric at each evaluation [n]."""
    reached: float | None
    """Cost at which the run reached the target; None if it never did."""


@dataclass(frozen=True)
class MethodLines:
    """The judged runs of a method on one clock."""

    name: str
    style: Style
    runs: Sequence[Line]
    thin: bool
    """Whether each run is drawn, and not only the median."""
    is_count: bool = False
    """Whether the metric counts something, so that curves are step functions."""

    @property
    def drawing(self) -> Literal["default", "steps-post"]:
        """matplotlib's style of drawing a curve."""
        return "steps-post" if self.is_count else "default"

    def median(self) -> tuple[Floats, Floats]:
        """Return the median over runs of the cost and of the metric, at each number of images at
        which a run was evaluated and that at least half of the runs reached. The median of an even
        number of counts is the lower one of the two in the middle."""
        images = np.unique(np.concatenate([run.images for run in self.runs]))
        at = [
            [np.interp(images, run.images, run.x, np.nan, np.nan), self._values(run, images)]
            for run in self.runs
        ]
        table = np.array(at)  # [runs, 2, images]
        table = table[:, :, np.isfinite(table).all(1).sum(0) >= len(self.runs) / 2]
        x, values = np.nanmedian(table, axis=0)
        if self.is_count:
            values = np.nanquantile(table[:, 1], 0.5, axis=0, method="lower")
        return x, values

    def _values(self, run: Line, images: Floats) -> Floats:
        """Return the metric of a run at numbers of images; NaN outside of its curve."""
        if not self.is_count:
            return np.interp(images, run.images, run.values, np.nan, np.nan)
        last = np.searchsorted(run.images, images, side="right") - 1
        inside = (last >= 0) & (images <= run.images[-1])
        return np.where(inside, run.values[last], np.nan)


def clock_and_target(comparison: Comparison, group: Group) -> tuple[str, Mapping[str, Any] | None]:
    """Return the clock and the target of the primary comparison for a group, or else those of its
    first comparison; without a comparison, training time and no target."""
    every = [one for judged in groups(comparison) for one in judged["comparisons"]]
    first = next((one for one in every if one["primary"]), next(iter(every), None))
    if first is None or not group["comparisons"]:
        return next(iter(wording.AXES)), None
    targets = (target for target in group["targets"] if target["factor"] == first["factor"])
    return first["clock"], next(targets, None)


def span_of_values(comparison: Comparison) -> tuple[float, float]:
    """Return the lowest and the highest value of all curves and targets."""
    curves = [run["values"] for of in comparison["curves"].values() for run in of["runs"]]
    values = [value for curve in curves for value in curve]
    values += [target["value"] for group in groups(comparison) for target in group["targets"]]
    return min(values, default=0.0), max(values, default=1.0)


def lines(
    comparison: Comparison, group: Group, axis: str, target: Mapping[str, Any] | None
) -> list[MethodLines]:
    """Return the lines of each method of a group that has any.

    If there is a primary comparison, the runs of other methods are not drawn thin.
    """
    primary = {c["method"] for c in group["comparisons"] if c["primary"]}
    found = []
    for name in group["methods"]:
        times = group["times"].get(name) or {}
        every = times.get(axis, {}).get(f"{target['factor']:g}", ()) if target else ()
        reached = {time["seed"]: time["reached"] for time in every}
        runs = []
        for run in (comparison["curves"].get(name) or {}).get("runs", ()):
            x, values = run.get(axis) or (), run["values"]
            if values and len(finite(x)) == len(values):
                costs, images, y = (np.array(part, float) for part in (x, run["images"], values))
                runs.append(Line(costs, images, y, reached.get(run["seed"])))
        if runs:
            thin = not primary or name in primary or name == group["baseline"]
            is_count = comparison["metric"] in COUNTS
            found.append(MethodLines(name, styles(comparison)[name], runs, thin, is_count))
    return found


def quality(
    comparison: Comparison,
    group: Group,
    axis: str,
    target: Mapping[str, Any] | None,
    name: str,
    span: tuple[float, float],
) -> Chart | None:
    """Plot the compared metric of a group's methods against one of the clocks; None without data.

    `span` holds the lowest and the highest value that the axis of the metric shows. Each run is a
    thin line and the median over runs a bold one. The times at which runs reached the target are
    marked on its line; a run that never reached it has a hollow marker at its end.
    """
    if not any(axis in times for times in group["times"].values()):
        target = None  # nothing was judged on this clock
    methods = lines(comparison, group, axis, target)
    if not methods:
        return None
    metric = comparison["metric"]
    highest = max(float(run.x[-1]) for method in methods for run in method.runs)
    factor, label = wording.axis_unit(axis, highest)

    def draw(axes: Axes) -> None:
        for method in methods:
            _draw_method(axes, method, factor)
        if target:
            _draw_target(axes, methods, target["value"], factor, metric)
        axes.set_xlim(0, 1.03 * factor * highest or 1)
        scale = _scale_values(axes, *span)
        axes.set(xlabel=label, ylabel=wording.metric_title(metric) + scale)

    title = f"{metric} against {wording.AXES[axis]}"
    return Chart(
        name,
        in_group(title, group),
        _in_words(comparison, methods, axis, target, group_title(group)),
        draw,
    )


def _draw_method(axes: Axes, method: MethodLines, factor: float) -> None:
    style = method.style
    for run in method.runs if method.thin else ():
        axes.plot(
            factor * run.x, run.values, color=style.colour, linewidth=0.8, alpha=0.5,
            drawstyle=method.drawing,
        )  # fmt: skip
    x, median = method.median()
    axes.plot(
        factor * x, median, color=style.colour, linestyle=style.line, linewidth=2.4, zorder=3,
        label=legend_name(method.name), drawstyle=method.drawing,
    )  # fmt: skip


def _draw_target(
    axes: Axes, methods: Sequence[MethodLines], value: float, factor: float, metric: str
) -> None:
    """Draw the target, and for each run a marker where it reached the target, or at its end.

    The markers of different methods stand below one another, so that none hides another.
    """
    axes.axhline(value, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"target\n{metric} {wording.number(value)}", (1, value), (4, 0), ha="left", va="center",
        xycoords=("axes fraction", "data"), textcoords="offset points", color=FAINT, fontsize=10,
    )  # fmt: skip
    shown = [method for method in methods if method.thin]
    on_line = [method for method in shown if any(run.reached is not None for run in method.runs)]
    for method in shown:
        row = on_line.index(method) if method in on_line else 0
        look: dict[str, Any] = {"marker": method.style.marker, "linestyle": "none", "zorder": 4}
        shift = ScaledTranslation(
            0, ((len(on_line) - 1) / 2 - row) * MARKER_GAP / 72, axes.figure.dpi_scale_trans
        )
        times = [factor * run.reached for run in method.runs if run.reached is not None]
        axes.plot(
            times, [value] * len(times), color=method.style.colour, markersize=6.5,
            markeredgecolor=PAPER, markeredgewidth=0.7, transform=axes.transData + shift, **look,
        )  # fmt: skip
        ends = [(factor * run.x[-1], run.values[-1]) for run in method.runs if run.reached is None]
        for x, y in ends:
            axes.plot(
                [x], [y], color=PAPER, markersize=6.5, markeredgecolor=method.style.colour,
                markeredgewidth=1.5, **look,
            )  # fmt: skip


def _scale_values(axes: Axes, low: float, high: float) -> str:
    """Set the value axis, logarithmic if the values allow it; return the end of its label."""
    logarithmic = low > 0 and high > 1.5 * low
    if logarithmic:
        axes.set_yscale("log")
        steps = (1, 2, 3, 5, 7) if high < 10 * low else (1, 2, 5) if high < 200 * low else (1,)
        axes.yaxis.set_major_locator(LogLocator(subs=steps))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(low / 1.15, high * 1.15)
    else:
        margin = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        axes.set_ylim(low - margin, high + margin)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: wording.tick(value)))
    return ", log scale" if logarithmic else ""


def _in_words(
    comparison: Comparison,
    methods: Sequence[MethodLines],
    axis: str,
    target: Mapping[str, Any] | None,
    varied: str,
) -> str:
    """Return what the chart shows: the medians at the end, and who reached the target when."""
    metric = comparison["metric"]
    parts = []
    for method in methods:
        x, median = method.median()
        words = (
            f"{method.name} ends at a median of {wording.number(float(median[-1]))} after "
            f"{wording.amount(axis, float(x[-1]))} ({plural(len(method.runs), 'run')}"
        )
        times = finite(run.reached for run in method.runs)
        if target:
            words += f", {len(times)} reached the target"
        if times:
            ends = (wording.amount(axis, x) for x in (min(times), max(times)))
            words += f", after {' to '.join(dict.fromkeys(ends))}"
        parts.append(f"{words})")
    text = f"{wording.metric_title(metric)}, {comparison['better']} is better, against "
    text += wording.AXES[axis] + (f", with {varied}" if varied else "")
    if target:
        text += f", and the target {metric} {wording.number(target['value'])}"
    return f"{text}: {'; '.join(parts)}."
