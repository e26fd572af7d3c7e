"""The result of a metric: a number with its uncertainty."""

from typing import NamedTuple


class Estimate(NamedTuple):
    """A number and its standard error over draws of the generated images."""

    value: float
    standard_error: float
