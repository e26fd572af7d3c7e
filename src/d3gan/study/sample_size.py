"""How many more seeds an undecided comparison needs, by normal approximation.

`d3gan.study.power` simulates the same question before a study.
"""

import math

from d3gan.study.censored import TimeRatio
from d3gan.study.quality import QualityRatio
from d3gan.study.statistics import t_quantile

Z_TWO_SIDED = 1.959964
"""97.5 % quantile of the normal distribution."""
Z_ONE_SIDED = 1.644854
"""95 % quantile."""
Z_POWER = 0.841621
"""80 % quantile: the probability with which the seeds are to decide."""


def seeds_to_decide(
    time: TimeRatio | None, quality: QualityRatio | None, margin: float
) -> int | None:
    """Return how many more seeds of each method would decide a comparison with probability 0.8, if
    the present estimates were true: that the times differ, or that the methods are equivalent,
    whichever needs fewer. None if neither can be estimated."""
    found = [*_for_difference(time), *_for_equivalence(quality, margin)]
    have = min(time.seeds) if time else quality.pairs if quality else 0
    return max(1, math.ceil(min(found)) - have) if found else None


def _for_difference(time: TimeRatio | None) -> list[float]:
    if not time or not time.estimate or not 0 < time.low < time.high < math.inf:
        return []
    effect = abs(math.log(time.estimate))
    error = math.log(time.high / time.low) / (2 * Z_TWO_SIDED)
    return [min(time.seeds) * ((Z_TWO_SIDED + Z_POWER) * error / effect) ** 2] if effect else []


def _for_equivalence(quality: QualityRatio | None, margin: float) -> list[float]:
    if not quality or quality.low90 is None or quality.high90 is None:
        return []
    room = math.log1p(margin) - abs(math.log(quality.ratio))
    half = math.log(quality.high90 / quality.low90) / 2
    error = half / t_quantile(0.95, quality.pairs - 1)
    return [quality.pairs * ((Z_ONE_SIDED + Z_POWER) * error / room) ** 2] if room > 0 else []
