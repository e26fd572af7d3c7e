"""Rules of multi-objective optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.gan.aggregation.base import AGGREGATIONS, Aggregation

if TYPE_CHECKING:
    from torch import Tensor


@AGGREGATIONS.register("hypervolume")
@dataclass(frozen=True)
class Hypervolume(Aggregation):
    """w_k proportional to 1 / (eta - g_k) with eta = delta * max_k g_k.

    Albuquerque et al. 2019, "Multi-objective training of generative adversarial networks with
    multiple discriminators", equations 8 and 12: the gradient of the log hypervolume, scaled to
    sum to one.
    """

    selects: ClassVar[bool] = False
    takes_signed: ClassVar[bool] = False
    delta: float = 1.1

    def __post_init__(self) -> None:
        if not self.delta > 1:
            raise ValueError(f"delta must be above 1, not {self.delta}")

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        weight = 1 / (self.delta * score.amax(dim=0) - score)
        return weight / weight.sum(dim=0)
