"""When a value that is measured with an error has stopped improving."""

import math
from collections.abc import Iterable


def evaluations_without_improvement(points: Iterable[tuple[float, float]], sign: float) -> int:
    """Return how many of the last evaluations in a row did not improve on those before.

    `points` are values with their standard errors; `sign` is 1 where higher is better and -1 where
    lower is. A value improves on another if it is better by more than the standard error of the
    difference, the root of the sum of both squared standard errors.
    """
    waited, improved = 0, None
    for value, error in points:
        if improved is None or sign * (value - improved[0]) > math.hypot(error, improved[1]):
            waited, improved = 0, (value, error)
        else:
            waited += 1
    return waited
