"""Soft means of the losses: between their mean and their maximum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.gan.aggregation.base import AGGREGATIONS, Aggregation
from d3gan.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@AGGREGATIONS.register("softmax")
@dataclass(frozen=True)
class Softmax(Aggregation):
    """w_k proportional to exp(g_k / temperature): `max` at temperature 0, `mean` at infinity.

    GMAN (Durugkar et al. 2017), equation 4, with lambda = 1 / temperature.
    """

    selects: ClassVar[bool] = False
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}")

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return torch.softmax(score / self.temperature, dim=0)


@AGGREGATIONS.register("softmax_per_sample")
@dataclass(frozen=True)
class SoftmaxPerSample(Softmax):
    """`softmax`, separately for every generated image."""

    per_sample: ClassVar[bool] = True
