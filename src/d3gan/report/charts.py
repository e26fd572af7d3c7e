"""The charts of a study.

Each is told in words too. A chart whose data are missing is None: the page says so in its place.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from d3gan.report import wording
from d3gan.report.chart import (
    AGAINST,
    FAINT,
    INK,
    PAPER,
    Chart,
    Comparison,
    Runs,
    amount,
    finite,
    floats,
    row_axes,
    row_title,
    styles,
    unit_of,
)
from d3gan.report.training_charts import COSTS, choice, cost, losses


def study_charts(comparison: Comparison, runs: Runs) -> dict[str, list[Chart]]:
    """All charts that the data allow, by the part of the page that shows them."""
    found: dict[str, list[Chart | None]] = {
        "quality": [quality(comparison, against) for against in AGAINST],
        "target": [time_to_target(comparison)],
        "losses": list(losses(comparison, runs)),
        "choice": [choice(comparison)],
        "cost": [cost(comparison, key) for key in COSTS],
    }
    return {part: [chart for chart in charts if chart] for part, charts in found.items()}


def quality(comparison: Comparison, against: str) -> Chart | None:
    """The compared metric against images, seconds or flops: mean, 95 % band, each seed thin."""
    curves = {
        name: curve
        for name, curve in (comparison.get("curves") or {}).items()
        if finite(curve.get(against) or ()) and finite(curve["mean"])
    }
    if not curves:
        return None
    metric = comparison["metric"]
    title = wording.metric_title(metric)
    factor, label = unit_of(against, max(max(finite(c[against])) for c in curves.values()))
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
                if len(run["values"]) and len(finite(run[against])) == len(run["values"]):
                    axes.plot(
                        factor * floats(run[against]), floats(run["values"]),
                        color=style.colour, linewidth=0.7, alpha=0.45,
                    )  # fmt: skip
        for name, curve in curves.items():
            style = look[name]
            x, mean = factor * floats(curve[against]), floats(curve["mean"])
            low, high = floats(curve["low"]), floats(curve["high"])
            if min(values) > 0:
                low = np.fmax(low, min(values) / 2)  # where the axis is logarithmic
            axes.fill_between(x, low, high, color=style.colour, alpha=0.16, linewidth=0)
            axes.plot(
                x, mean, color=style.colour, linestyle=style.line, linewidth=2,
                marker=style.marker, markersize=4.5, markevery=max(1, len(x) // 10),
            )  # fmt: skip
        target = (comparison.get("target") or {}).get("value")
        if target is not None and min(values) <= target <= max(values):
            axes.axhline(target, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                "target", (1, target), (0, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", va="bottom", color=FAINT, fontsize=10,
            )  # fmt: skip
        axes.set_xlim(left=0)
        logarithmic = _value_axis(axes, values)
        axes.set(xlabel=label, ylabel=f"{title}{', log scale' if logarithmic else ''}")

    return Chart(
        f"quality-against-{against}",
        f"{metric} against {AGAINST[against]}",
        _told_quality(comparison, curves, against),
        draw,
        methods=tuple(curves),
    )


def _value_axis(axes: Axes, values: Sequence[float]) -> bool:
    """Plain numbers at the ticks; logarithmic, and True, where values span much."""
    low, high = min(values), max(values)
    logarithmic = low > 0 and high > 8 * low
    if logarithmic:
        axes.set_yscale("log")
        span = (1.0, 2.0, 5.0) if high < 200 * low else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(subs=span))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(low / 1.15, high * 1.15)
    else:
        margin = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        axes.set_ylim(low - margin, high + margin)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    return logarithmic


def _told_quality(comparison: Comparison, curves: Mapping[str, Any], against: str) -> str:
    better = comparison.get("better", "lower")
    ends = []
    for name, curve in curves.items():
        last = {key: curve[key][-1] for key in ("mean", "low", "high")}
        where = curve[against][-1]
        ends.append(
            f"{name} comes to {wording.interval(last)} after {amount(against, where)} "
            f"({wording.plural(curve['seeds'][-1], 'seed')})"
        )
    title = wording.metric_title(comparison["metric"])
    return f"{title}, {better} is better, against {AGAINST[against]}: {'; '.join(ends)}."


# Time to the target


def reached_at(comparison: Comparison, name: str, against: str) -> list[tuple[float, bool]]:
    """For each run of a method: when it came to the target, or else how far it went without."""
    target = comparison["target"]["value"]
    higher = comparison.get("better") == "higher"
    ends = []
    for run in comparison["curves"][name]["runs"]:
        points = list(zip(run[against], run["values"], strict=True))
        points = [(x, value) for x, value in points if x is not None and value is not None]
        there = [x for x, value in points if (value >= target if higher else value <= target)]
        if points:
            ends.append((there[0], True) if there else (points[-1][0], False))
    return ends


def time_to_target(comparison: Comparison) -> Chart | None:
    """When each run reached the target; runs that never did stand at the end of their training."""
    target = comparison.get("target") or {}
    known = {
        name: estimate
        for name, estimate in (comparison.get("time_to_target") or {}).items()
        if name in (comparison.get("curves") or {})
    }
    if target.get("value") is None or not known:
        return None
    ends = {name: reached_at(comparison, name, "seconds") for name in known}
    everything = [x for points in ends.values() for x, _ in points]
    if not everything:
        return None
    factor, unit = wording.time_unit(max(everything))
    look = styles(comparison)

    def draw(axes: Axes) -> None:
        right = 1.08 * factor * max(everything)
        for row, (name, estimate) in enumerate(known.items()):
            colour = look[name].colour
            note = f"reached by {estimate['reached']} of {estimate['seeds']}"
            row_title(axes, 0.3 - row, name, note)
            middle, low, high = (
                estimate.get(key) for key in ("seconds", "seconds_low", "seconds_high")
            )
            if low is not None:
                end = right if high is None else factor * high
                axes.plot([factor * low, end], [-row, -row], color=colour, alpha=0.35, linewidth=7)
            if middle is not None:
                axes.plot(
                    [factor * middle] * 2, [-row - 0.17, -row + 0.17], color=INK, linewidth=2.2
                )
            for reached, marker in ((True, "o"), (False, ">")):
                xs = [factor * x for x, there in ends[name] if there == reached]
                axes.plot(
                    xs, [-row] * len(xs), marker, markersize=6, markeredgecolor=colour,
                    color=colour if reached else PAPER, markeredgewidth=1.4,
                )  # fmt: skip
        row_axes(axes, len(known))
        axes.set_xlim(0, right)
        axes.set(xlabel=f"training time to the target, {unit}")

    told = []
    for name, estimate in known.items():
        middle = estimate.get("seconds")
        when = f", median {wording.duration(middle)}" if middle is not None else ""
        told.append(f"{name} {estimate['reached']} of {estimate['seeds']} runs{when}")
    value = wording.number(target["value"])
    return Chart(
        "time-to-target",
        f"Training time to {comparison['metric']} {value}",
        f"Runs that reached {comparison['metric']} {value}: {'; '.join(told)}.",
        draw,
        height=0.75 + 0.52 * len(known),
    )
