"""Targets of quality, and what a run spends until it reaches one. Pure functions of plain numbers.

All of it works on the logarithm of a metric, written `y` and signed so that lower is better: ratios
of a Fréchet distance mean the same at 100 and at 2.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from d3gan.evaluation.metrics.names import Better

Array = NDArray[np.float64]


def log_metric(values: Sequence[float], better: Better) -> Array:
    """Return y [n]: the logarithm of a metric, negated if a higher value is better.

    A value that is not positive, which unbiased estimates of a distance near zero can take, counts
    as the smallest positive one.
    """
    x = np.asarray(values, np.float64)
    positive = x[x > 0]
    x = np.maximum(x, positive.min() if positive.size else 1.0)
    return np.asarray(np.log(x) if better == "lower" else -np.log(x))


def metric_value(y: float, better: Better) -> float:
    """Return the metric of a logarithm; the inverse of `log_metric`."""
    return float(np.exp(y if better == "lower" else -y))


def smoothed(y: Sequence[float] | Array) -> Array:
    """Return the running median of three of a curve [n], which removes single outliers and leaves a
    falling curve as it is.

    The end is the median of itself, its neighbour, and the line through its two smoothed neighbours
    (Tukey 1977, "Exploratory data analysis", chapter 7), so that a run is not rewarded for a lucky
    last value. The start, from which curves fall steeply, is kept; so are the ends of a curve of
    three.
    """
    y = np.array(y, np.float64)
    if len(y) < 3:
        return y
    inner = np.median([y[:-2], y[1:-1], y[2:]], axis=0)
    if len(inner) > 1:
        y[-1] = np.median([y[-1], inner[-1], 3 * inner[-1] - 2 * inner[-2]])
    y[1:-1] = inner
    return y


def plateau(curves: Sequence[Sequence[float] | Array]) -> float:
    """Return the median over runs of the best smoothed y. Each curve holds at least one value."""
    return float(np.median([smoothed(y).min() for y in curves]))


def target(plateau: float, factor: float) -> float:
    """Return the y that is `factor` times worse than a plateau."""
    return plateau + float(np.log(factor))


def cost_to(
    cost: Sequence[float], y: Sequence[float] | Array, target: float, *, is_count: bool = False
) -> float | None:
    """Return the cost at which the smoothed curve first reaches the target; None if it never does.

    Between two evaluations y is interpolated linearly in the cost, that is the metric
    geometrically; a count keeps its value until the next evaluation. `cost` [n] does not decrease.
    """
    curve = smoothed(y)
    below = np.flatnonzero(curve <= target)
    if not below.size:
        return None
    i = int(below[0])
    if i == 0 or is_count:
        return float(cost[i])
    share = (curve[i - 1] - target) / (curve[i - 1] - curve[i])
    return float(cost[i - 1] + share * (cost[i] - cost[i - 1]))


def best_within(
    cost: Sequence[float], y: Sequence[float] | Array, budget: float, *, is_count: bool = False
) -> float | None:
    """Return the lowest y that a run reaches within a budget: over its evaluations, and unless it
    is a count at the budget itself by interpolation. None if the run has no evaluation within the
    budget."""
    x, values = np.asarray(cost, np.float64), np.asarray(y, np.float64)
    within = values[x <= budget]
    if not within.size:
        return None
    at_budget = [float(np.interp(budget, x, values))] if budget <= x[-1] and not is_count else []
    return min([float(within.min()), *at_budget])
