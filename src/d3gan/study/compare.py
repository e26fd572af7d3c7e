"""Compare methods: run folders in, one dictionary of plain values out (docs/comparison.md)."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import Better
from d3gan.evaluation.protocol import check_comparable
from d3gan.registry import nearest
from d3gan.runs import RunFolder
from d3gan.study import methods, verdict
from d3gan.study import time_to_quality as speed
from d3gan.study.methods import Method
from d3gan.study.records import AXES, Axis, Record, load
from d3gan.study.statistics import mean_interval, value_at


def compare(runs: Sequence[RunFolder], *, metric: str = "", baseline: str = "") -> dict[str, Any]:
    """Return the comparison of the methods of `runs`; runs that differ only in their seed are of
    one method.

    `metric` is the metric compared, by default the one that the runs monitored; `baseline` is the
    method that the others are compared with, by default the first. The result is strict JSON,
    described in docs/comparison.md. Raises UserError if there is nothing to compare, or if two runs
    were evaluated by different protocols.
    """
    if not runs:
        raise UserError("there are no runs to compare; name some run folders")
    records = [load(run) for run in runs]
    protocol = _common_protocol(records)
    metric = metric or _monitored(records)
    held = _metrics(records, metric)
    better = held.get(metric, "lower")
    named = methods.group(records)
    baseline = baseline or next(iter(named))
    if baseline not in named:
        raise UserError(
            f"there is no method '{baseline}'{nearest(baseline, list(named))}; "
            f"methods: {', '.join(named)}"
        )
    first = named[baseline]
    others = {name: method for name, method in named.items() if name != baseline}
    at = {axis: _common_budget(records, axis) for axis in AXES}
    target = speed.target(first, metric, better)
    found = {
        "metric": metric,
        "better": better,
        "baseline": baseline,
        "protocol": protocol,
        "at": at,
        "methods": _values(named, held, "images", at),
        "at_equal_time": _values(named, {metric: better}, "seconds", at),
        "at_equal_compute": _values(named, {metric: better}, "flops", at),
        **_of_runs(named, metric, better),
        "curves": {name: _curves(method, metric) for name, method in named.items()},
        "target": {"value": target, "what": f"mean of the best {metric} of {baseline}'s runs"},
        "time_to_target": {
            name: speed.time_to(method, metric, better, target) for name, method in named.items()
        },
        **_speedups(others, first, metric, better),
        "differences": {name: methods.differences(first, other) for name, other in others.items()},
        "configs": {name: method.config() for name, method in named.items()},
        "warnings": verdict.warnings(first, list(named.values())),
    }
    plain: dict[str, Any] = _plain(found)
    return plain


def _common_protocol(records: Sequence[Record]) -> dict[str, Any] | None:
    """Return the protocol of all evaluations. Raises UserError, naming the difference, if two
    differ."""
    distinct: list[tuple[dict[str, Any], Record]] = []
    for record in records:
        for row in record.evaluations:
            protocol = row["protocol"]
            if any(protocol == other for other, _ in distinct):
                continue
            for other, whose in distinct:
                check_comparable(other, protocol, (str(whose.run.path), str(record.run.path)))
            distinct.append((protocol, record))
    return distinct[0][0] if distinct else None


def _monitored(records: Sequence[Record]) -> str:
    """Return the metric that all runs monitor. Raises UserError if two differ."""
    names = {record.monitored: record for record in records}
    if len(names) > 1:
        (first, a), (second, b) = list(names.items())[:2]
        raise UserError(
            f"{a.run.path} monitors {first} and {b.run.path} monitors {second}; "
            "choose the metric to compare with --metric"
        )
    return next(iter(names))


def _metrics(records: Sequence[Record], metric: str) -> dict[str, Better]:
    """Return all metrics of the runs. Raises UserError if an evaluated run lacks `metric`."""
    held: dict[str, Better] = {}
    for record in records:
        here = record.metrics()
        if record.evaluations and metric not in here:
            raise UserError(
                f"{record.run.path} does not have the metric '{metric}'"
                f"{nearest(metric, list(here))}; it has {', '.join(here)}"
            )
        held |= here
    return held


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


def _of_runs(named: Mapping[str, Method], metric: str, better: Better) -> dict[str, Any]:
    """Return the summary of every run, and for each method the number of runs by outcome."""
    every = [row for method in named.values() for r in method.records for row in r.evaluations]
    # The number of classes is not recorded: it is at least as large as any run found.
    modes = [row["modes"] for row in every if isinstance(row.get("modes"), int | float)]
    classes = max(filter(math.isfinite, modes), default=None)
    runs = {
        name: [record.summary(metric, better, classes) for record in method.records]
        for name, method in named.items()
    }
    statuses = ("finished", "collapsed", "diverged", "unfinished")
    outcomes = {
        name: {status: sum(run["status"] == status for run in every) for status in statuses}
        for name, every in runs.items()
    }
    return {"runs": runs, "outcomes": outcomes}


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


def _speedups(
    others: Mapping[str, Method], baseline: Method, metric: str, better: Better
) -> dict[str, Any]:
    """Return the speed-up of each other method over the baseline, and the verdicts on them."""
    records = [r for method in (baseline, *others.values()) for r in method.records]
    seeds = {record.seed for record in baseline.records}
    found: dict[str, Any] = {}
    sentences: dict[str, str] = {}
    for name, method in others.items():
        by_axis = speed.speedups(method, baseline, metric, better, records)
        plain = {axis: dataclasses.asdict(speedup) for axis, speedup in by_axis.items()}
        of_time = {key: plain["seconds"][key] for key in ("mean", "low", "high")}
        found[f"{name} over {baseline.name}"] = {**plain, **of_time}
        common = seeds & {record.seed for record in method.records}
        sentences[name] = verdict.sentence(
            name, baseline.name, metric, by_axis["seconds"], seeds=len(common)
        )
    return {"speedup": found, "verdict": verdict.combined(sentences), "verdicts": sentences}


def _plain(value: Any) -> Any:
    """Return the value as strict JSON has it: without tuples, and None for non-finite numbers."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
