"""Charts of quality during training and of the time to the target, and the list of all charts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from d3gan.report import wording
from d3gan.report.chart import FAINT, INK, PAPER, Chart, legend_name, row_axes, row_title, styles
from d3gan.report.comparison import Comparison, Runs
from d3gan.report.training_charts import COSTS, cost, losses, selection
from d3gan.report.wording import finite


def study_charts(comparison: Comparison, runs: Runs) -> dict[str, list[Chart]]:
    """Return all charts for which there are data, by the section of the page that shows them."""
    found: dict[str, list[Chart | None]] = {
        "quality": [quality(comparison, axis) for axis in wording.AXES],
        "target": [time_to_target(comparison)],
        "losses": [*losses(comparison, runs)],
        "choice": [selection(comparison)],
        "cost": [cost(comparison, key) for key in COSTS],
    }
    return {part: [chart for chart in charts if chart] for part, charts in found.items()}


def quality(comparison: Comparison, axis: str) -> Chart | None:
    """Plot the compared metric against one of the clocks: mean, 95 % band, each seed."""
    curves = {
        name: curve
        for name, curve in comparison["curves"].items()
        if finite(curve.get(axis) or ()) and finite(curve["mean"])
    }
    if not curves:
        return None
    metric = comparison["metric"]
    factor, label = wording.axis_unit(axis, max(max(finite(c[axis])) for c in curves.values()))
    look = styles(comparison)
    values = [
        value
        for curve in curves.values()
        for series in (curve["mean"], *(run["values"] for run in curve["runs"]))
        for value in finite(series)
    ]

    def draw(axes: Axes) -> None:
        for name, curve in curves.items():
            style = look[name]
            for run in curve["runs"]:
                if run["values"] and len(finite(run[axis] or ())) == len(run["values"]):
                    axes.plot(
                        factor * np.array(run[axis], float), np.array(run["values"], float),
                        color=style.colour, linewidth=0.7, alpha=0.45,
                    )  # fmt: skip
            x, mean, low, high = (
                np.array(curve[key], float) for key in (axis, "mean", "low", "high")
            )
            if min(values) > 0:  # the axis may be logarithmic
                low = np.fmax(low, min(values) / 2)
            axes.fill_between(factor * x, low, high, color=style.colour, alpha=0.16, linewidth=0)
            axes.plot(
                factor * x, mean, color=style.colour, linestyle=style.line, linewidth=2, zorder=3,
                marker=style.marker, markersize=4.5, markevery=max(1, len(x) // 10),
                label=legend_name(name),
            )  # fmt: skip
        target = comparison["target"].get("value")
        if target is not None and min(values) <= target <= max(values):
            axes.axhline(target, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                "target", (1, target), (0, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", va="bottom", color=FAINT, fontsize=10,
            )  # fmt: skip
        axes.set_xlim(left=0)
        scale = _scale_values(axes, values)
        axes.set(xlabel=label, ylabel=wording.metric_title(metric) + scale)

    return Chart(
        f"quality-against-{axis}",
        f"{metric} against {wording.AXES[axis]}",
        _quality_in_words(comparison, curves, axis),
        draw,
    )


def _scale_values(axes: Axes, values: Sequence[float]) -> str:
    """Set the value axis, logarithmic if the values span a wide range; return its label's end."""
    low, high = min(values), max(values)
    logarithmic = low > 0 and high > 8 * low
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(low / 1.15, high * 1.15)
    else:
        margin = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        axes.set_ylim(low - margin, high + margin)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    return ", log scale" if logarithmic else ""


def _quality_in_words(comparison: Comparison, curves: Mapping[str, Any], axis: str) -> str:
    ends = []
    for name, curve in curves.items():
        last = {key: curve[key][-1] for key in ("mean", "low", "high")}
        seeds = wording.plural(curve["seeds"][-1], "seed")
        spent = wording.amount(axis, curve[axis][-1])
        ends.append(f"{name} reaches {wording.interval(last)} after {spent} ({seeds})")
    title = wording.metric_title(comparison["metric"])
    better = f"{comparison['better']} is better"
    return f"{title}, {better}, against {wording.AXES[axis]}: {'; '.join(ends)}."


# Time to the target


def ends(comparison: Comparison, name: str) -> list[tuple[float, bool]]:
    """Return for each run of a method its training time in seconds when it reached the target.

    The second value is False for a run that never did; the time is then that of its last
    evaluation.
    """
    target = comparison["target"]["value"]
    higher = comparison["better"] == "higher"
    found = []
    for run in comparison["curves"][name]["runs"]:
        points = zip(run["seconds"] or (), run["values"], strict=False)
        known = [(x, value) for x, value in points if x is not None and value is not None]
        reached = [x for x, value in known if (value >= target if higher else value <= target)]
        if known:
            found.append((reached[0], True) if reached else (known[-1][0], False))
    return found


def time_to_target(comparison: Comparison) -> Chart | None:
    """Plot when each run reached the target; a run that never did is shown at its end."""
    metric, target = comparison["metric"], comparison["target"].get("value")
    estimates = {
        name: estimate
        for name, estimate in comparison["time_to_target"].items()
        if name in comparison["curves"]
    }
    if target is None or not estimates:
        return None
    points = {name: ends(comparison, name) for name in estimates}
    latest = max((x for of_method in points.values() for x, _ in of_method), default=None)
    if latest is None:
        return None
    factor, unit = wording.time_unit(latest)
    look = styles(comparison)

    def draw(axes: Axes) -> None:
        right = 1.08 * factor * latest
        for row, (name, estimate) in enumerate(estimates.items()):
            colour = look[name].colour
            note = f"reached by {estimate['reached']} of {estimate['seeds']}"
            row_title(axes, 0.3 - row, name, note)
            middle, low, high = (estimate.get(f"seconds{end}") for end in ("", "_low", "_high"))
            if low is not None:
                end = right if high is None else factor * high
                axes.plot([factor * low, end], [-row, -row], color=colour, alpha=0.35, linewidth=7)
            if middle is not None:
                x = factor * middle
                axes.plot([x, x], [-row - 0.17, -row + 0.17], color=INK, linewidth=2.2)
            for reached, marker in ((True, "o"), (False, ">")):
                xs = [factor * x for x, found in points[name] if found == reached]
                axes.plot(
                    xs, [-row] * len(xs), marker, markersize=6, markeredgecolor=colour,
                    color=colour if reached else PAPER, markeredgewidth=1.4,
                )  # fmt: skip
        row_axes(axes, len(estimates))
        axes.set_xlim(0, right)
        axes.set(xlabel=f"training time to the target, {unit}")

    words = []
    for name, estimate in estimates.items():
        middle = estimate.get("seconds")
        when = f", median {wording.duration(middle)}" if middle is not None else ""
        words.append(f"{name} {estimate['reached']} of {estimate['seeds']} runs{when}")
    value = wording.number(target)
    return Chart(
        "time-to-target",
        f"Training time to {metric} {value}",
        f"Runs that reached {metric} {value}: {'; '.join(words)}.",
        draw,
        height=0.75 + 0.52 * len(estimates),
    )
