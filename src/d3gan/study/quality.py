"""Ratios of positive quantities from pairs of runs with the same seed, and equivalence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtr

from d3gan.study.statistics import mean_interval, t_quantile


@dataclass(frozen=True)
class Ratio:
    """Geometric mean of ratios over pairs of runs; its interval has the confidence LEVEL."""

    ratio: float
    low: float | None
    """None, as `high`, with fewer than two pairs."""
    high: float | None
    pairs: int


@dataclass(frozen=True)
class QualityRatio(Ratio):
    """A ratio with the result of the test of equivalence."""

    low90: float | None
    """Lower end of the 90 % interval, which lies within the margins if, and only if, both one-sided
    tests at 5 % decide for equivalence."""
    high90: float | None
    p: float | None
    """The larger p-value of the two one-sided tests; None with fewer than two pairs."""


def geometric_ratio(differences: Sequence[float]) -> Ratio:
    """Return exp of the mean of log differences, with Student's interval. There is at least one."""
    logs = mean_interval(differences)
    mean, low, high = (None if x is None else math.exp(x) for x in (logs.mean, logs.low, logs.high))
    assert mean is not None
    return Ratio(mean, low, high, logs.seeds)


def quality_ratio(differences: Sequence[float], margin: float) -> QualityRatio:
    """Return the ratio of the metric of two methods from paired log differences, with the two
    one-sided t-tests of equivalence.

    The methods are equivalent if the ratio is shown to lie above 1 / (1 + margin) and below
    1 + margin (Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power
    approach for assessing the equivalence of average bioavailability"). There is at least one
    difference.
    """
    ratio = geometric_ratio(differences)
    logs = mean_interval(differences, 0.90)
    if logs.mean is None or logs.low is None or logs.high is None:
        return QualityRatio(ratio.ratio, None, None, ratio.pairs, None, None, None)
    degrees, room = len(differences) - 1, math.log1p(margin) - abs(logs.mean)
    error = (logs.high - logs.low) / 2 / t_quantile(0.95, degrees)
    # Without any spread the tests are decided by the mean alone.
    statistic = room / error if error else math.copysign(math.inf, room)
    return QualityRatio(
        ratio.ratio, ratio.low, ratio.high, ratio.pairs,
        math.exp(logs.low), math.exp(logs.high), float(stdtr(degrees, -statistic)),
    )  # fmt: skip
