"""What a few runs say about a method, and how sure that is. Pure functions of plain numbers.

Nothing is claimed that the runs do not carry: one seed has no interval, and a run that never
reached a target counts as slower than its budget instead of being left out.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from d3gan.evaluation.metrics.names import Better

LEVEL = 0.95
"""Confidence of every interval."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds; low and high are None where no interval can be claimed."""

    mean: float | None
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class TimeToTarget:
    """The median over seeds; a bound is None where the runs give none."""

    median: float | None
    low: float | None
    high: float | None
    reached: int
    seeds: int


@dataclass(frozen=True)
class Pair:
    """How long two runs of one seed took to the same quality."""

    baseline: float
    other: float
    censored: bool = False
    """The other never came there: it takes longer than `other`."""


@dataclass(frozen=True)
class Speedup:
    """How many times faster; with censored pairs mean and high are upper bounds, low is None."""

    mean: float | None
    low: float | None
    high: float | None
    pairs: int
    censored: int


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution with so many degrees of freedom."""
    return float(stdtrit(degrees, probability))


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean and Student's interval, mean ± t s / sqrt(n) with n - 1 degrees of freedom.

    Student 1908, "The probable error of a mean". Its confidence is LEVEL for normal values, and
    about that for others. One value has no interval; no values have no mean either.
    """
    n = len(values)
    if n == 0:
        return Interval(None, None, None, 0)
    # Sorted, so that the order of the seeds changes not even the last digit.
    x = np.sort(np.asarray(values, np.float64))
    mean = float(x.mean())
    if n == 1:
        return Interval(mean, None, None, 1)
    half = t_quantile((1 + LEVEL) / 2, n - 1) * float(x.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def first_reached(
    x: Sequence[float], values: Sequence[float], target: float, better: Better
) -> float | None:
    """The x of the first value as good as the target; None if there is none.

    A value equal to the target has reached it. Nothing is interpolated: what was not seen at an
    evaluation is not known to have been reached.
    """
    for here, value in zip(x, values, strict=True):
        if value <= target if better == "lower" else value >= target:
            return here
    return None


def median_time(times: Sequence[float | None], budgets: Sequence[float]) -> TimeToTarget:
    """The earliest time by which half of the runs had reached a target.

    `times` are None for runs that never did; those take longer than their `budgets`, which may be
    infinite. The median is the ceil(n / 2)-th time in order, those of the others being put last:
    what Kaplan and Meier's curve (1958, "Nonparametric estimation from incomplete observations")
    gives if no run ended before it, and too late rather than too early otherwise. None if fewer
    than half reached it.

    The interval is free of distributions, from order statistics j and n + 1 - j (Conover 1999,
    "Practical nonparametric statistics", section 3.2), the others counting at their budgets for its
    lower end. It needs 6 seeds; its upper end is None if too few reached the target.
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
    """The largest j such that the j-th and the (n + 1 - j)-th of n enclose the median with
    confidence LEVEL, that is 1 - 2 P(Binomial(n, 1/2) < j); 0 if there is none."""
    j, outside = 0, 0.0
    while j < n:
        outside += 2 * math.comb(n, j) / 2**n
        if outside > 1 - LEVEL:
            break
        j += 1
    return j


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


def paired_speedup(pairs: Sequence[Pair]) -> Speedup:
    """The geometric mean of baseline / other over pairs, and Student's interval on its logarithm.

    Ratios are averaged by their logarithms, so that the speed-up of B over A is 1 over that of A
    over B (Fleming and Wallace 1986, "How not to lie with statistics"). A censored pair enters at
    its bound, the largest ratio it can have; what is computed is then an upper limit of the
    speed-up with at least the confidence of the interval's upper end, and there is no lower one.
    """
    censored = sum(pair.censored for pair in pairs)
    logs = mean_interval([math.log(pair.baseline) - math.log(pair.other) for pair in pairs])
    mean, low, high = (None if x is None else _exp(x) for x in (logs.mean, logs.low, logs.high))
    return Speedup(mean, None if censored else low, high, len(pairs), censored)


def _exp(x: float) -> float | None:
    """None where it would be too large for a number."""
    return math.exp(x) if x < 700 else None


def selection_entropy(shares: Sequence[float]) -> float:
    """-sum_k p_k log2 p_k in bits, of how often each discriminator was chosen.

    Shannon 1948, "A mathematical theory of communication". 0: always the same one; log2 N: all of N
    equally often.
    """
    p = np.sort(np.asarray(shares, np.float64))
    p = p[p > 0] / p.sum()
    return max(0.0, -float((p * np.log2(p)).sum()))


def value_at(x: Sequence[float], values: Sequence[float], here: float) -> float | None:
    """A curve's value between its evaluations, linearly; None before the first, after the last.

    `x` must not decrease.
    """
    if not x or not x[0] <= here <= x[-1]:
        return None
    return float(np.interp(here, x, values))


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median and extremes of repeated timings, as the benchmarks' rows have them."""
    return {
        name: statistics.median(values),
        f"{name}_low": min(values),
        f"{name}_high": max(values),
    }
