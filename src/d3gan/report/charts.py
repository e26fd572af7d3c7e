"""All charts of a report."""

from dataclasses import dataclass, replace
from typing import Final

from d3gan.report import wording
from d3gan.report.chart import Chart
from d3gan.report.comparison import Comparison, Runs, group_title, groups, with_unjudged
from d3gan.report.quality_chart import clock_and_target, quality, span_of_values
from d3gan.report.training_charts import COSTS, cost, losses, selection

WIDE: Final = (9.0, 3.8)
"""Width and height in inches of the headline where there is room for it."""


@dataclass(frozen=True)
class QualityCharts:
    """Charts of the quality of one group of methods during training."""

    title: str
    """What sets the group apart; "" if there is only one."""
    methods: list[str]
    headline: Chart | None
    """Against the clock of the primary comparison, and with its target."""
    others: list[Chart]
    """Against the other clocks."""


def quality_charts(comparison: Comparison) -> list[QualityCharts]:
    """Return the charts of quality of each group."""
    found, span, every = [], span_of_values(comparison), groups(comparison)
    for number, group in enumerate(every, start=1):
        first, target = clock_and_target(comparison, group)
        end = f"-{number}" if len(every) > 1 else ""
        charts = {
            axis: quality(comparison, group, axis, target, name, span)
            for axis in wording.AXES
            for name in [f"{'headline' if axis == first else f'quality-against-{axis}'}{end}"]
        }
        headline = charts.pop(first)
        others = [chart for chart in charts.values() if chart]
        found.append(QualityCharts(group_title(group), group["methods"], headline, others))
    return found


def training_charts(comparison: Comparison, runs: Runs) -> dict[str, list[Chart]]:
    """Return the charts of the training itself, by the section of the page that shows them.

    They show all runs, judged or not.
    """
    comparison = with_unjudged(comparison)
    found: dict[str, list[Chart | None]] = {
        "losses": [*losses(comparison, runs)],
        "choice": [selection(comparison)],
        "cost": [cost(comparison, key) for key in COSTS],
    }
    return {part: [chart for chart in charts if chart] for part, charts in found.items()}


def wide(chart: Chart) -> Chart:
    """Return the chart for a wide screen, or for a file."""
    width, height = WIDE
    return replace(chart, name=f"{chart.name}-wide", width=width, height=height)


def every_chart(comparison: Comparison, runs: Runs) -> list[Chart]:
    """Return all charts as files show them: the headline is wide."""
    charts = []
    for group in quality_charts(comparison):
        if group.headline:
            charts.append(replace(wide(group.headline), name=group.headline.name))
        charts += group.others
    return charts + [c for part in training_charts(comparison, runs).values() for c in part]
