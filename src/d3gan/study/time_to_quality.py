"""How soon methods come to a quality: to one target for all, and pair by pair of seeds."""

import math
from collections.abc import Sequence
from typing import Any

from d3gan.evaluation.metrics.names import Better
from d3gan.study.methods import Method
from d3gan.study.records import AXES, Axis, Record
from d3gan.study.statistics import (
    Pair,
    Speedup,
    first_reached,
    mean_interval,
    median_time,
    paired_speedup,
)

_LEAST = 1e-9
"""Spent before anything can have been reached; a ratio to nothing is none."""


def target(baseline: Method, metric: str, better: Better) -> float | None:
    """The mean of the best values of a method's runs; None if it has none."""
    curves = [record.curve(metric) for record in baseline.records]
    return mean_interval([c.values[i] for c in curves if (i := c.best(better)) is not None]).mean


def time_to(
    method: Method, metric: str, better: Better, target: float | None
) -> dict[str, Any] | None:
    """Medians over the method's runs of what each spent until it reached the target.

    A run that did not counts as longer than its last evaluation; one that diverged, which cannot
    any more, as longer than everything. None without a target.
    """
    if target is None:
        return None
    found: dict[str, Any] = {}
    for axis in AXES:
        times = [_reached(record, axis, metric, better, target) for record in method.records]
        budgets = [
            math.inf if record.status == "diverged" else record.budget(axis) or 0.0
            for record in method.records
        ]
        time = median_time(times, budgets)
        found |= {"reached": time.reached, "seeds": time.seeds, axis: time.median}
        found |= {f"{axis}_low": time.low, f"{axis}_high": time.high}
    return found


def speedups(
    other: Method, baseline: Method, metric: str, better: Better, records: Sequence[Record]
) -> dict[Axis, Speedup]:
    """How many times faster the other method comes to the best value of the baseline's run of the
    same seed than that run itself, by each measure of what is spent.

    Where the other's run never comes there, the pair is censored at its last evaluation; at the
    largest budget of all `records` if it diverged, since more of it would not have helped. A seed
    whose run of the baseline has no evaluation makes no pair.
    """
    return {
        axis: paired_speedup(_pairs(other, baseline, axis, metric, better, records))
        for axis in AXES
    }


def _pairs(
    other: Method,
    baseline: Method,
    axis: Axis,
    metric: str,
    better: Better,
    records: Sequence[Record],
) -> list[Pair]:
    most = max(record.budget(axis) or 0.0 for record in records)
    partners = {record.seed: record for record in baseline.records}
    pairs = []
    for record in other.records:
        curve = partners[record.seed].curve(metric) if record.seed in partners else None
        best = curve.best(better) if curve else None
        if curve is None or best is None:
            continue
        time = _reached(record, axis, metric, better, curve.values[best])
        budget = most if record.status == "diverged" else record.budget(axis) or 0.0
        spent = max(curve.x[axis][best], _LEAST)
        pairs.append(Pair(spent, max(budget if time is None else time, _LEAST), time is None))
    return pairs


def _reached(
    record: Record, axis: Axis, metric: str, better: Better, target: float
) -> float | None:
    curve = record.curve(metric)
    return first_reached(curve.x[axis], curve.values, target, better)
