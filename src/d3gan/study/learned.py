"""Whether a method learned anything at all: without that, nothing is judged."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from d3gan.study.records import Metric, Record
from d3gan.study.targets import Array, log_metric, metric_value

FACTOR = 2.0
"""A method learned if its metric improved by more than this factor since step 0."""


@dataclass(frozen=True)
class Learned:
    """Whether a method learned, by the medians over its runs."""

    learned: bool | None
    """None if no run was evaluated at step 0."""
    best: float | None = None
    start: float | None = None
    """The metric at step 0."""
    why: str = ""
    """Why nothing was learned, as far as the curves show it."""


def has_learned(records: Sequence[Record], metric: Metric) -> Learned:
    """Return whether the best value of a method's runs is at least FACTOR times better than at step
    0. A run without evaluations after step 0 learned nothing."""
    curves = [
        log_metric(
            [float(record.initial[metric.name]), *record.curve(metric.name).values], metric.better
        )
        for record in records
        if record.initial and record.initial.get(metric.name) is not None
    ]
    if not curves:
        return Learned(None)
    start = float(np.median([y[0] for y in curves]))
    best = float(np.median([y.min() for y in curves]))
    values = metric_value(best, metric.better), metric_value(start, metric.better)
    if start - best > np.log(FACTOR):
        return Learned(True, *values)
    return Learned(False, *values, _why(records, curves))


def _why(records: Sequence[Record], curves: Sequence[Array]) -> str:
    diverged = sum(record.outcome == "diverged" for record in records)
    if 2 * diverged >= len(records):
        return f"{diverged} of {len(records)} runs diverged"
    if np.median([len(y) for y in curves]) < 2:
        return "the runs were not evaluated after step 0"
    if np.median([y.argmin() == len(y) - 1 for y in curves]) > 0:
        return "it was still improving at the last evaluation; train longer"
    return "it did not keep improving; train longer, or check the learning rates and the images"
