"""The ratio of two methods' times to a target, some of which are censored.

A time is censored if its run ended before it reached the target; the time is then only known to
exceed the run's budget. Everything here is a pure function of plain numbers, and exact for any
number of runs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from d3gan.study.statistics import LEVEL


@dataclass(frozen=True)
class Time:
    """What a run spent until it reached a target."""

    reached: float | None
    """The cost at which the run reached the target, at most `budget`; None if it did not."""
    budget: float
    """The cost up to which the run was observed; infinite for a run that diverged, which would not
    reach the target however long it were trained."""
    at_first: bool = False
    """Whether it reached the target by its first evaluation, and so perhaps long before."""


@dataclass(frozen=True)
class TimeRatio:
    """The ratio of a method's times to a target to the baseline's times, with its interval."""

    estimate: float | None
    """None if too few runs reached the target to determine the ratio."""
    low: float
    """Lower bound of the interval; 0 if there is none."""
    high: float
    """Upper bound of the interval; infinite if there is none."""
    p: float
    """Two-sided p-value of the hypothesis that the ratio is 1."""
    reached: tuple[int, int]
    """Numbers of runs of the method and of the baseline that reached the target."""
    seeds: tuple[int, int]
    """Numbers of runs of the method and of the baseline."""
    at_first: tuple[int, int] = (0, 0)
    """Numbers of runs that reached the target by their first evaluation."""


def time_ratio(method: Sequence[Time], baseline: Sequence[Time]) -> TimeRatio:
    """Return the ratio of the method's times to the baseline's, with its interval.

    The accelerated failure time model says that the method's times are distributed as `ratio` times
    the baseline's (Wei 1992, "The accelerated failure time model"). The interval holds all ratios
    that the exact two-sided permutation test of Gehan's statistic does not reject at level
    1 - LEVEL, once the baseline's times are multiplied by them. The estimate is the ratio at which
    the statistic is zero (Hodges and Lehmann 1963, "Estimates of location based on rank tests").
    Both sequences hold at least one time.
    """
    ratios = _changes(method, baseline)
    bounds = [0.0, *ratios, math.inf]
    # The statistic is constant between neighbouring changes: one ratio stands for all of them.
    inside = [ratios[0] / 2, *np.sqrt(np.multiply(ratios[:-1], ratios[1:])), 2 * ratios[-1]]

    def first(condition: Callable[[float], bool]) -> int:
        """Return the index of the first interval that fulfils a condition; all later ones do."""
        low, high = 0, len(inside)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if condition(inside[middle]) else (middle + 1, high)
        return low

    tail = (1 - LEVEL) / 2
    accepted = first(lambda ratio: _test(method, baseline, ratio)[1] > tail)
    rejected = first(lambda ratio: _test(method, baseline, ratio)[0] <= tail)
    begin = first(lambda ratio: _statistic(method, baseline, ratio) <= 0)
    end = first(lambda ratio: _statistic(method, baseline, ratio) < 0)
    zero = math.sqrt(bounds[begin] * bounds[end]) if bounds[begin] else 0.0
    at_most, at_least = _test(method, baseline, 1.0)
    return TimeRatio(
        zero if 0 < zero < math.inf else None,
        float(bounds[min(accepted, len(ratios))]),
        float(bounds[max(rejected, 1)]),
        min(1.0, 2 * min(at_most, at_least)),
        (_count_reached(method), _count_reached(baseline)),
        (len(method), len(baseline)),
        (sum(t.at_first for t in method), sum(t.at_first for t in baseline)),
    )


def rejects(method: Sequence[Time], baseline: Sequence[Time], ratio: float) -> bool:
    """Return whether `time_ratio` would exclude a ratio from its interval."""
    at_most, at_least = _test(method, baseline, ratio)
    return 2 * min(at_most, at_least) <= 1 - LEVEL


def gehan_scores(value: NDArray[np.float64], reached: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each run the number of runs that are certainly shorter minus the number of runs
    that are certainly longer.

    `value` [n] is the time of a run that reached the target, and the budget of one that did not.
    Two runs are ordered only if one of them reached the target within the budget of the other: each
    pair is compared up to the shorter of its two budgets. Gehan 1965, "A generalized Wilcoxon test
    for comparing arbitrarily singly-censored samples"; the form with one score for each run is that
    of Mantel 1967, "Ranking procedures for arbitrarily restricted observation".
    """
    own, other = value[:, None], value[None, :]
    # A run that did not reach the target within its budget takes longer than the budget.
    shorter = reached[:, None] & ((own < other) | ((own == other) & ~reached[None, :]))
    return np.asarray(shorter.sum(0, dtype=np.int64) - shorter.sum(1, dtype=np.int64))


def permutation_test(scores: NDArray[np.int64], group: int) -> tuple[float, float]:
    """Return the probabilities that the sum of `group` scores, chosen at random, is at most and at
    least the sum of the first `group` scores.

    The choices are counted by dynamic programming over the possible sums, so that the probabilities
    are exact (Pagano and Tritchler 1983, "On obtaining permutation distributions in polynomial
    time").
    """
    positive = scores - scores.min()
    positive //= max(1, np.gcd.reduce(positive))  # fewer possible sums
    largest = int(np.sort(positive)[-group:].sum())
    choices = np.zeros((group + 1, largest + 1))  # [number of scores chosen, their sum]
    choices[0, 0] = 1.0
    total = 0
    for used, score in enumerate(sorted(positive.tolist())):
        total = min(total + score, largest)
        rows = min(used + 1, group)
        # The right-hand side is computed before anything is written: each score is used once.
        choices[1 : rows + 1, score : total + 1] += choices[:rows, : total + 1 - score]
    share = choices[group] / choices[group].sum()
    observed = int(positive[:group].sum())
    return float(share[: observed + 1].sum()), float(share[observed:].sum())


def _test(method: Sequence[Time], baseline: Sequence[Time], ratio: float) -> tuple[float, float]:
    """Return the probabilities that the sum of scores chosen at random is at most and at least the
    sum of the method's, once the baseline's times are multiplied by `ratio`."""
    return permutation_test(_scores(method, baseline, ratio), len(method))


def _statistic(method: Sequence[Time], baseline: Sequence[Time], ratio: float) -> int:
    return int(_scores(method, baseline, ratio)[: len(method)].sum())


def _scores(method: Sequence[Time], baseline: Sequence[Time], ratio: float) -> NDArray[np.int64]:
    """Return the scores of the method's and then of the baseline's runs, once the baseline's times
    are multiplied by `ratio`."""
    longer = [Time(None if t.reached is None else ratio * t.reached, ratio * t.budget)
              for t in baseline]  # fmt: skip
    limit = min(_budget(method), _budget(longer))
    times = [*method, *longer]
    reached = np.array([t.reached is not None and t.reached <= limit for t in times])
    value = [t.reached if found else min(t.budget, limit)
             for t, found in zip(times, reached, strict=True)]  # fmt: skip
    return gehan_scores(np.array(value, np.float64), reached)


def _budget(times: Sequence[Time]) -> float:
    """Return the largest budget of the runs that did not diverge.

    Beyond the smaller budget of the two methods nothing is compared, so that under the hypothesis
    the runs of both are exchangeable although their budgets differ.
    """
    return max((t.budget for t in times if math.isfinite(t.budget)), default=math.inf)


def _changes(method: Sequence[Time], baseline: Sequence[Time]) -> list[float]:
    """Return the ratios at which the order of two runs can change, ascending."""
    first, second = (
        {x for t in times for x in (t.reached, t.budget) if x is not None and 0 < x < math.inf}
        for times in (method, baseline)
    )
    return sorted({a / b for a in first for b in second}) or [1.0]


def _count_reached(times: Sequence[Time]) -> int:
    return sum(t.reached is not None for t in times)
