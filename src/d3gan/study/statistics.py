"""Statistics over the few runs of a method. Pure functions of plain numbers.

They claim no more than the runs support: one seed gives no interval, and a run that never reached a
target counts as slower than its budget instead of being left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, stdtrit

from d3gan.evaluation.metrics.names import Better

LEVEL = 0.95
"""Confidence level of every interval."""


@dataclass(frozen=True)
class Interval:
    """Mean over seeds with its confidence interval; the bounds are None where there is none."""

    mean: float | None
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class TimeToTarget:
    """Median time over seeds with its confidence interval; unknown bounds are None."""

    median: float | None
    low: float | None
    high: float | None
    reached: int
    """Number of runs that reached the target."""
    seeds: int


@dataclass(frozen=True)
class Pair:
    """Cost at which two runs with the same seed reached the same quality."""

    baseline: float
    other: float
    censored: bool = False
    """Whether the other run never reached that quality, so that its cost is more than `other`."""


@dataclass(frozen=True)
class Speedup:
    """Ratio of costs. With censored pairs, mean and high are upper bounds and low is None."""

    mean: float | None
    low: float | None
    high: float | None
    pairs: int
    censored: int
    """Number of pairs that are censored."""


def t_quantile(probability: float, degrees: int) -> float:
    """Return a quantile of Student's t distribution with `degrees` degrees of freedom."""
    return float(stdtrit(degrees, probability))


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean and Student's interval, mean ± t s / sqrt(n), n - 1 degrees of freedom.

    Student 1908, "The probable error of a mean". The interval has confidence LEVEL for normal
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
    half = t_quantile((1 + LEVEL) / 2, n - 1) * float(x.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def first_reached(
    x: Sequence[float], values: Sequence[float], target: float, better: Better
) -> float | None:
    """Return the x of the first value that is at least as good as the target; None if none is.

    Nothing is interpolated: a quality counts as reached at the evaluation that measured it.
    """
    for here, value in zip(x, values, strict=True):
        if value <= target if better == "lower" else value >= target:
            return here
    return None


def median_time(times: Sequence[float | None], budgets: Sequence[float]) -> TimeToTarget:
    """Return the earliest time by which half of the runs had reached a target.

    `times` are None for runs that never reached it; their times are known to exceed their
    `budgets`, which may be infinite. The median is the ceil(n / 2)-th smallest time, where the
    runs that never reached the target come last: the estimate of Kaplan and Meier (1958,
    "Nonparametric estimation from incomplete observations") if no run ended before it, and an upper
    bound of it otherwise. It is None if fewer than half of the runs reached the target.

    The interval is distribution-free, from order statistics j and n + 1 - j (Conover 1999,
    "Practical nonparametric statistics", section 3.2). For its lower end, runs that never reached
    the target count with their budgets. It needs 6 seeds; its upper end is None if too few runs
    reached the target.
    """
    n = len(times)
    latest = sorted(math.inf if time is None else time for time in times)
    pairs = zip(times, budgets, strict=True)
    earliest = sorted(budget if time is None else time for time, budget in pairs)
    j = _order(n)
    return TimeToTarget(
        median=_finite(latest[(n + 1) // 2 - 1]) if n else None,
        low=_finite(earliest[j - 1]) if j else None,
        high=_finite(latest[n - j]) if j else None,
        reached=sum(time is not None for time in times),
        seeds=n,
    )


def _order(n: int) -> int:
    """Return the largest j such that the j-th and the (n + 1 - j)-th of n values enclose the median
    with confidence LEVEL, that is 1 - 2 P(Binomial(n, 1/2) < j); 0 if there is none."""
    return int((2 * bdtr(np.arange(n), n, 0.5) <= 1 - LEVEL).sum())


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


def paired_speedup(pairs: Sequence[Pair]) -> Speedup:
    """Return the geometric mean of baseline / other over pairs, with Student's interval.

    The mean and the interval are those of the logarithms, so that the speed-up of B over A is the
    reciprocal of that of A over B (Fleming and Wallace 1986, "How not to lie with statistics"). A
    censored pair enters with the largest ratio that it can have; the mean and the upper end are
    then upper bounds with at least their confidence, and there is no lower end.
    """
    censored = sum(pair.censored for pair in pairs)
    logs = mean_interval([math.log(pair.baseline) - math.log(pair.other) for pair in pairs])
    mean, low, high = (None if x is None else _exp(x) for x in (logs.mean, logs.low, logs.high))
    return Speedup(mean, None if censored else low, high, len(pairs), censored)


def _exp(x: float) -> float | None:
    """Return e to the power of x; None if that exceeds the range of floating-point numbers."""
    return math.exp(x) if x < 700 else None


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
