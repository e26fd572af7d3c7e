"""Separable objectives: saturating, non-saturating, hinge and least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.gan.objectives.base import OBJECTIVES, SeparableObjective
from d3gan.lazy import functional

if TYPE_CHECKING:
    from torch import Tensor


class _CrossEntropy(SeparableObjective):
    """The discriminator's binary cross-entropy: real s(-D(x)), fake s(D(G(z)))."""

    def real_loss(self, logits: Tensor) -> Tensor:
        return functional.softplus(-logits)

    def fake_loss(self, logits: Tensor) -> Tensor:
        return functional.softplus(logits)


@OBJECTIVES.register("saturating")
@dataclass(frozen=True)
class Saturating(_CrossEntropy):
    """s(t) = log(1 + e^t): real s(-D(x)), fake s(D(G(z))), generator -s(D(G(z))).

    Goodfellow et al. 2014, "Generative adversarial nets", equation 1: the minimax game, whose
    generator minimises log(1 - p) with the probability p = 1 / (1 + e^-t) of a real image. The
    gradient with respect to the logit is -p, which vanishes where the discriminator is confident.
    """

    signed: ClassVar[bool] = True
    negative: ClassVar[bool] = True

    def generator_loss(self, logits: Tensor) -> Tensor:
        return -functional.softplus(logits)


@OBJECTIVES.register("non_saturating")
@dataclass(frozen=True)
class NonSaturating(_CrossEntropy):
    """s(t) = log(1 + e^t): real s(-D(x)), fake s(D(G(z))), generator s(-D(G(z))).

    Goodfellow et al. 2014, "Generative adversarial nets", section 3: the discriminator's binary
    cross-entropy, and the generator's loss that does not saturate.
    """

    def generator_loss(self, logits: Tensor) -> Tensor:
        return functional.softplus(-logits)


@OBJECTIVES.register("hinge")
@dataclass(frozen=True)
class Hinge(SeparableObjective):
    """Real max(0, 1 - D(x)), fake max(0, 1 + D(G(z))), generator -D(G(z)).

    Lim and Ye 2017, "Geometric GAN", equations 11 and 12.
    """

    signed: ClassVar[bool] = True

    def real_loss(self, logits: Tensor) -> Tensor:
        return functional.relu(1 - logits)

    def fake_loss(self, logits: Tensor) -> Tensor:
        return functional.relu(1 + logits)

    def generator_loss(self, logits: Tensor) -> Tensor:
        return -logits


@OBJECTIVES.register("least_squares")
@dataclass(frozen=True)
class LeastSquares(SeparableObjective):
    """Real (D(x) - 1)^2 / 2, fake D(G(z))^2 / 2, generator (D(G(z)) - 1)^2 / 2.

    Mao et al. 2017, "Least squares generative adversarial networks", equation 9.
    """

    def real_loss(self, logits: Tensor) -> Tensor:
        return (logits - 1).square() / 2

    def fake_loss(self, logits: Tensor) -> Tensor:
        return logits.square() / 2

    def generator_loss(self, logits: Tensor) -> Tensor:
        return (logits - 1).square() / 2
