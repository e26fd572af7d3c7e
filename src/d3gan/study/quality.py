"""Ratios of positive quantities from pairs of runs with the same seed, and equivalence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from d3gan.study.statistics import LEVEL, t_quantile


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
    mean, half = _mean_and_half_width(differences, LEVEL)
    if half is None:
        return Ratio(math.exp(mean), None, None, len(differences))
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), len(differences))


def quality_ratio(differences: Sequence[float], margin: float) -> QualityRatio:
    """Return the ratio of the metric of two methods from paired log differences, with the two
    one-sided t-tests of equivalence.

    The methods are equivalent if the ratio is shown to lie above 1 / (1 + margin) and below
    1 + margin (Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power
    approach for assessing the equivalence of average bioavailability"). There is at least one
    difference.
    """
    ratio = geometric_ratio(differences)
    mean, half = _mean_and_half_width(differences, 0.90)
    if half is None:
        return QualityRatio(ratio.ratio, None, None, ratio.pairs, None, None, None)
    degrees, limit = len(differences) - 1, math.log1p(margin)
    error = half / t_quantile(0.95, degrees)
    # Without any spread the tests are decided by the mean alone.
    statistic = (limit - abs(mean)) / error if error else math.copysign(math.inf, limit - abs(mean))
    return QualityRatio(
        ratio.ratio, ratio.low, ratio.high, ratio.pairs,
        math.exp(mean - half), math.exp(mean + half), float(stdtr(degrees, -statistic)),
    )  # fmt: skip


def _mean_and_half_width(values: Sequence[float], level: float) -> tuple[float, float | None]:
    x = np.sort(np.asarray(values, np.float64))  # the order of the seeds causes no rounding error
    if len(x) < 2:
        return float(x.mean()), None
    error = float(x.std(ddof=1)) / math.sqrt(len(x))
    return float(x.mean()), t_quantile((1 + level) / 2, len(x) - 1) * error
