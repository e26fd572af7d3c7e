"""What methods spend to reach a quality: one target for all, and pair by pair of seeds."""

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
"""Smallest cost in a ratio, so that nothing is divided by zero."""


def target(baseline: Method, metric: str, better: Better) -> float | None:
    """Return the mean of the best values of a method's runs; None if it has none."""
    curves = [record.curve(metric) for record in baseline.records]
    return mean_interval([c.values[i] for c in curves if (i := c.best(better)) is not None]).mean


def time_to(
    method: Method, metric: str, better: Better, target: float | None
) -> dict[str, Any] | None:
    """Return the medians over a method's runs of what each spent until it reached the target.

    A run that did not reach it counts as needing more than it had spent at its last evaluation; a
    run that diverged, which cannot reach it any more, as needing infinitely much. The result is
    None without a target; the numbers of an axis that is unknown for some run are None.
    """
    if target is None:
        return None
    found: dict[str, Any] = {}
    for axis in AXES:
        known = [record for record in method.records if record.knows(axis)]
        times = [_reached(record, axis, metric, better, target) for record in known]
        budgets = [
            math.inf if record.outcome == "diverged" else record.budget(axis) or 0.0
            for record in known
        ]
        complete = len(known) == len(method.records)
        time = median_time(times, budgets) if complete else median_time([], [])
        found |= {axis: time.median, f"{axis}_low": time.low, f"{axis}_high": time.high}
        if axis == "images":
            found |= {"reached": time.reached, "seeds": time.seeds}
    return found


def speedups(
    other: Method, baseline: Method, metric: str, better: Better, records: Sequence[Record]
) -> dict[Axis, Speedup]:
    """Return for each axis how many times faster `other` is than `baseline`.

    For each seed that both have, the other's run is compared with the baseline's run by what each
    spends until it reaches the best value of the baseline's run. A run of `other` that never
    reaches it is censored at its last evaluation; if it diverged, at the largest budget of all
    `records`, since training it longer would not have helped. A seed whose run of the baseline has
    no evaluation makes no pair.
    """
    found: dict[Axis, Speedup] = {}
    for axis in AXES:
        most = max(record.budget(axis) or 0.0 for record in records)
        partners = {record.seed: record for record in baseline.records if record.knows(axis)}
        pairs = []
        for record in other.records:
            partner = partners.get(record.seed)
            curve = partner.curve(metric) if partner and record.knows(axis) else None
            best = curve.best(better) if curve else None
            if curve is None or best is None:
                continue
            time = _reached(record, axis, metric, better, curve.values[best])
            budget = most if record.outcome == "diverged" else record.budget(axis) or 0.0
            spent = max(curve.x[axis][best], _LEAST)
            pairs.append(Pair(spent, max(budget if time is None else time, _LEAST), time is None))
        found[axis] = paired_speedup(pairs)
    return found


def _reached(
    record: Record, axis: Axis, metric: str, better: Better, target: float
) -> float | None:
    curve = record.curve(metric)
    return first_reached(curve.x[axis], curve.values, target, better)
