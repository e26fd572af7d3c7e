"""Means over the few runs of a method, and properties of one run. Pure functions of plain numbers.

The judge's own statistics are in `d3gan.study.censored` and `d3gan.study.quality`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95
"""Confidence level of every interval."""


@dataclass(frozen=True)
class Interval:
    """Mean over seeds with its confidence interval; the bounds are None where there is none."""

    mean: float | None
    low: float | None
    high: float | None
    seeds: int


def t_quantile(probability: float, degrees: int) -> float:
    """Return a quantile of Student's t distribution with `degrees` degrees of freedom."""
    return float(stdtrit(degrees, probability))


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Return the mean and Student's interval, mean ± t s / sqrt(n), n - 1 degrees of freedom.

    Student 1908, "The probable error of a mean". The interval has confidence `level` for normal
    values, and approximately that for others. One value has no interval; no values have no mean.
    """
    n = len(values)
    if n == 0:
        return Interval(None, None, None, 0)
    # Sorted, so that the result does not depend on the order of the seeds by a rounding error.
    x = np.sort(np.asarray(values, np.float64))
    mean = float(x.mean())
    if n == 1:
        return Interval(mean, None, None, 1)
    half = t_quantile((1 + level) / 2, n - 1) * float(x.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def selection_entropy(shares: Sequence[float]) -> float:
    """Return -sum_k p_k log2 p_k in bits, p_k being how often discriminator k was selected.

    Shannon 1948, "A mathematical theory of communication". It is 0 if always the same
    discriminator was selected, and log2 N if all N were selected equally often.
    """
    p = np.sort(np.asarray(shares, np.float64))
    p = p[p > 0] / p.sum()
    return max(0.0, -float((p * np.log2(p)).sum()))


def value_at(x: Sequence[float], values: Sequence[float], here: float) -> float | None:
    """Return a curve's value at `here`, interpolated linearly; None outside of its range.

    `x` must not decrease.
    """
    if not x or not x[0] <= here <= x[-1]:
        return None
    return float(np.interp(here, x, values))


def step_value_at(x: Sequence[float], values: Sequence[float], here: float) -> float | None:
    """Return the last value of a curve at or before `here`; None outside of its range.

    `x` must not decrease.
    """
    if not x or not x[0] <= here <= x[-1]:
        return None
    return float(values[int(np.searchsorted(x, here, side="right")) - 1])
