"""Rules that do not depend on the scores: averages over all discriminators, or over some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.gan.aggregation.base import AGGREGATIONS, Aggregation
from d3gan.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@AGGREGATIONS.register("mean")
@dataclass(frozen=True)
class Mean(Aggregation):
    """Weigh all discriminators equally, 1 / N each."""

    uses_random: ClassVar[bool] = False
    selects: ClassVar[bool] = False
    needs_scores: ClassVar[bool] = False
    equal_weights: ClassVar[bool] = True

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return torch.full_like(score, 1 / score.shape[0])


@AGGREGATIONS.register("dropout")
@dataclass(frozen=True)
class Dropout(Aggregation):
    """Average the discriminators that survive; each is dropped with probability p.

    Mordido, Yang and Meinel 2018, "Dropout-GAN". At least one is kept: the one with the
    largest random number, so all are equally likely.
    """

    selects: ClassVar[bool] = False
    needs_scores: ClassVar[bool] = False
    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ValueError(f"p must be at least 0 and below 1, not {self.p}")

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        kept = (uniform >= self.p) | (uniform == uniform.max(dim=0).values)
        return (kept / kept.sum(dim=0)).to(score.dtype).expand_as(score)
