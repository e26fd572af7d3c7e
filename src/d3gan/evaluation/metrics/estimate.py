"""What a metric gives: a number and how far it may be off by chance."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from d3gan.evaluation.statistics import Statistics

Better = Literal["lower", "higher"]


class Estimate(NamedTuple):
    """A number with its standard error: what another draw of generated images would change."""

    value: float
    standard_error: float


class Metric(NamedTuple):
    """Numbers that are computed together from what is known of real and generated images."""

    gives: dict[str, Better]
    """The numbers by name, and which way is better."""
    compute: Callable[[Statistics, Statistics], dict[str, Estimate]]
    """From real and generated images to the numbers in `gives`."""
    stores_features: bool = False
    """It needs each image's features, not only their sums."""
    needs_covariance: bool = False
    """It means nothing from fewer images than features."""
    least_images: int = 2
    """On either side."""
    needs_labels: bool = False
    """It needs features of a classifier of the data's own classes."""
