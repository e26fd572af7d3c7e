"""The objective of D2GAN: two discriminators that minimise different losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.gan.objectives.base import OBJECTIVES, Objective, Terms
from d3gan.lazy import functional

if TYPE_CHECKING:
    from torch import Tensor

LINEAR_BELOW = -30.0
"""log softplus(t) equals t to rounding below this value."""


def log_softplus(logits: Tensor) -> Tensor:
    """Return log(softplus(t)) without underflow for very negative t."""
    clamped = logits.clamp(min=LINEAR_BELOW)
    return functional.softplus(clamped).log() + (logits - clamped)


@OBJECTIVES.register("d2gan")
@dataclass(frozen=True)
class D2GAN(Objective):
    """D_1 rewards real images, D_2 rewards generated ones; both are positive.

    Nguyen et al. 2017, "Dual discriminator generative adversarial nets", equation 1:
    min_G max_D  alpha E log D_1(x) - E D_1(G(z)) - E D_2(x) + beta E log D_2(G(z)),
    with D_k = softplus(logits) > 0. The generator minimises the two terms that depend on it.
    """

    signed: ClassVar[bool] = True
    asymmetric: ClassVar[bool] = True
    equal_weights: ClassVar[bool] = True
    discriminators: ClassVar[int | None] = 2
    alpha: float = 0.2
    beta: float = 0.1

    def __post_init__(self) -> None:
        if not (self.alpha > 0 and self.beta > 0):
            raise ValueError(f"alpha = {self.alpha} and beta = {self.beta} must be above 0")

    def discriminator(self, real: Tensor, fake: Tensor, k: int) -> Terms:
        if k == 0:
            return {"real": -self.alpha * log_softplus(real), "fake": functional.softplus(fake)}
        return {"real": functional.softplus(real), "fake": -self.beta * log_softplus(fake)}

    def generator(self, fake: Tensor, real: Tensor | None, k: int) -> Terms:
        if k == 0:
            return {"adversarial": -functional.softplus(fake)}
        return {"adversarial": self.beta * log_softplus(fake)}
