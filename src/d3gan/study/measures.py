"""What is measured of the runs of a group: targets, times to them, and quality at equal cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from d3gan.study.censored import Time
from d3gan.study.methods import Method
from d3gan.study.question import Question
from d3gan.study.records import Axis, Metric, Record
from d3gan.study.targets import best_within, cost_to, log_metric, metric_value, plateau, target


@dataclass(frozen=True)
class Group:
    """Methods that are compared with each other."""

    methods: Sequence[Method]
    """The baseline is the first."""
    pilot: Sequence[Record] = ()
    """Runs of the baseline that fix the targets and are not judged."""
    varied: Mapping[str, Any] = field(default_factory=dict)
    """Values of the keys that separate this group from the others."""

    @property
    def baseline(self) -> Method:
        return self.methods[0]


@dataclass(frozen=True)
class Target:
    """A quality to reach."""

    factor: float
    """Multiple of the plateau."""
    value: float
    plateau: float
    source: Literal["pilot", "runs"]
    """runs: the judged runs of the baseline, because there is no pilot."""
    seeds: list[int]
    """Seeds of the runs that fixed it."""


def group_targets(group: Group, question: Question, metric: Metric) -> list[Target]:
    """Return the targets of a group; none if no run of its baseline has a value of the metric."""
    records = group.pilot or group.baseline.records
    curves = {
        record.seed: log_metric(values, metric.better)
        for record in records
        if (values := record.curve(metric.name).values)
    }
    if not curves:
        return []
    level = plateau(list(curves.values()))
    return [
        Target(
            factor,
            metric_value(target(level, factor), metric.better),
            metric_value(level, metric.better),
            "pilot" if group.pilot else "runs",
            sorted(curves),
        )
        for factor in question.targets
    ]


def times(records: Sequence[Record], clock: Axis, goal: Target, metric: Metric) -> list[Time]:
    """Return what each run spends until it reaches the target."""
    (y,) = log_metric([goal.value], metric.better)
    return [_time(record, clock, float(y), metric) for record in records]


def _time(record: Record, clock: Axis, y: float, metric: Metric) -> Time:
    curve = record.curve(metric.name)
    reached = None
    if curve.values:
        values = log_metric(curve.values, metric.better)
        reached = cost_to(curve.x[clock], values, y, is_count=curve.is_count)
    at_first = reached is not None and reached == curve.x[clock][0]
    return Time(reached, _budget(record, clock), at_first)


def _budget(record: Record, clock: Axis) -> float:
    """Return the cost up to which a run counts: to its last evaluation, infinite if it diverged."""
    return math.inf if record.outcome == "diverged" else record.budget(clock) or 0.0


def differences(method: Method, baseline: Method, clock: Axis, metric: Metric) -> list[float]:
    """Return the paired differences of the log metric at equal cost, for each common seed.

    Both runs count up to the shorter budget of the two, with the best quality that they reach
    within it. A run that diverged keeps the best quality that it had before.
    """
    partners = {record.seed: record for record in baseline.records}
    found = []
    for record in method.records:
        pair = [record, partners[record.seed]] if record.seed in partners else []
        budget = min((_budget(run, clock) for run in pair), default=math.inf)
        curves = [run.curve(metric.name) for run in pair]
        best = [
            best_within(
                curve.x[clock],
                log_metric(curve.values, metric.better),
                budget,
                is_count=curve.is_count,
            )
            for curve in curves
        ]
        if len(best) == 2 and best[0] is not None and best[1] is not None:
            found.append(best[0] - best[1])
    return found
