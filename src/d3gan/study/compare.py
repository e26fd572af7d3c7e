"""Compare methods: run folders in, one dictionary of plain values out (docs/comparison.md)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import Better
from d3gan.runs import RunFolder
from d3gan.study import methods
from d3gan.study.judgement import judgement, plain
from d3gan.study.limitations import limitations
from d3gan.study.methods import Method
from d3gan.study.question import Question
from d3gan.study.records import AXES, Axis, Metric, Record
from d3gan.study.selection import select
from d3gan.study.stability import collapsed
from d3gan.study.statistics import mean_interval, value_at


def compare(
    runs: Sequence[RunFolder], question: Question | None = None, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the comparison of the methods of `runs`; runs that differ only in their seed are of
    one method.

    `question` says how the runs are judged, and `notes` are further warnings. The result is strict
    JSON, described in docs/comparison.md. A run that cannot be judged is left out, and listed there
    with the reason. Raises UserError if there are no runs, or if the question names a baseline or a
    metric that no run has.
    """
    if not any(run.exists() for run in runs):
        if runs:
            runs[0].require()
        raise UserError("there are no runs to compare; name some run folders")
    question = question or Question()
    found = select(runs, question)
    named = {method.name: method for group in found.groups for method in group.methods}
    others = methods.group(found.unjudged, question.vary, named.values())
    records = [record for method in named.values() for record in method.records]
    metric, held = found.metric, _metrics(records)
    at = {axis: _common_budget(records, axis) for axis in AXES}
    result = {
        "metric": metric.name,
        "better": metric.better,
        "baseline": found.groups[0].baseline.name if found.groups else "",
        "protocol": found.protocol if found.groups else None,
        "judgement": judgement(found.groups, question, metric, found.left_out),
        "at": at,
        "methods": _values(named, held, "images", at),
        "at_equal_time": _values(named, {metric.name: metric.better}, "seconds", at),
        "at_equal_compute": _values(named, {metric.name: metric.better}, "flops", at),
        **_of_runs(named, metric, question.collapsed_below),
        "unjudged": _summaries(others, metric, question.collapsed_below),
        "curves": {name: _curves(method, metric.name) for name, method in named.items()},
        "differences": {
            other.name: methods.differences(group.baseline, other)
            for group in found.groups
            for other in group.methods[1:]
        },
        "configs": {name: method.config() for name, method in {**named, **others, **named}.items()},
        "warnings": [*limitations(found.groups, question), *notes],
        "damaged": [{"name": name, "reason": why} for name, why in found.damaged.items()],
    }
    values: dict[str, Any] = plain(result)
    return values


def _metrics(records: Sequence[Record]) -> dict[str, Better]:
    """Return all metrics of the runs."""
    return {name: better for record in records for name, better in record.metrics().items()}


def _common_budget(records: Sequence[Record], axis: Axis) -> float | None:
    """Return the largest cost that all runs reached, except those that diverged; None if the cost
    of a run is unknown."""
    budgets = []
    for record in records:
        if not record.knows(axis):
            return None
        if record.outcome != "diverged":
            budgets.append(record.budget(axis))
    return min((budget for budget in budgets if budget is not None), default=None)


def _values(
    named: Mapping[str, Method],
    metrics: Mapping[str, Better],
    axis: Axis,
    at: Mapping[Axis, float | None],
) -> dict[str, Any]:
    """Return each method's metrics at the common budget: means over the runs that reached it."""
    here = at[axis]
    found: dict[str, Any] = {}
    for name, method in named.items():
        found[name] = {}
        for metric, better in metrics.items():
            curves = [record.curve(metric) for record in method.records]
            values = [None if here is None else curve.at(axis, here) for curve in curves]
            interval = mean_interval([value for value in values if value is not None])
            found[name][metric] = dataclasses.asdict(interval) | {"better": better}
    return found


def _of_runs(named: Mapping[str, Method], metric: Metric, collapsed_below: float) -> dict[str, Any]:
    """Return the summary of every run, and for each method the number of runs by outcome."""
    runs = _summaries(named, metric, collapsed_below)
    statuses = ("finished", "collapsed", "diverged", "unfinished")
    outcomes = {
        name: {status: sum(run["status"] == status for run in every) for status in statuses}
        for name, every in runs.items()
    }
    return {"runs": runs, "outcomes": outcomes}


def _summaries(
    named: Mapping[str, Method], metric: Metric, collapsed_below: float
) -> dict[str, list[dict[str, Any]]]:
    """Return the summary of every run, by method."""
    return {
        name: [
            record.summary(metric, collapsed=bool(collapsed(record, collapsed_below)))
            for record in method.records
        ]
        for name, method in named.items()
    }


def _curves(method: Method, metric: str) -> dict[str, Any]:
    """Return the metric against the costs: each run's curve, and the mean over the runs at every
    number of images at which one of them was evaluated."""
    curves = [(record, record.curve(metric)) for record in method.records]
    images = sorted({x for _, curve in curves for x in curve.x["images"]})
    columns: dict[str, list[Any]] = {
        key: [] for key in ("seconds", "steps", "flops", "mean", "low", "high", "seeds")
    }
    for here in images:
        reaching = [(c, v) for _, c in curves if (v := c.at("images", here)) is not None]
        for axis in ("seconds", "steps", "flops"):
            spent = [value_at(c.x["images"], c.x[axis], here) for c, _ in reaching if axis in c.x]
            columns[axis].append(mean_interval([x for x in spent if x is not None]).mean)
        interval = mean_interval([value for _, value in reaching])
        for key, value in dataclasses.asdict(interval).items():
            columns[key].append(value)
    runs = [
        {
            "seed": record.seed,
            **{axis: curve.x.get(axis, [None] * len(curve.values)) for axis in AXES},
            "values": curve.values,
        }
        for record, curve in curves
    ]
    return {"images": images, **columns, "runs": runs}
