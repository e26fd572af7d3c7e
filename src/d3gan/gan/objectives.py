"""What discriminator and generator minimise, per image: functions of logits.

Each objective gives r, f and g of the design's formulas before the expectation is taken. All
take logits [N, B] and return losses [N, B].
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from d3gan.registry import Registry


class Objective(Protocol):
    """The three parts of a GAN objective; logits [N, B] -> losses [N, B]."""

    signed: ClassVar[bool]
    """Whether the generator's loss can be below zero."""

    def real(self, logits: Tensor) -> Tensor:
        """The discriminator's loss on real images."""

    def fake(self, logits: Tensor) -> Tensor:
        """The discriminator's loss on generated images."""

    def generator(self, logits: Tensor) -> Tensor:
        """The generator's loss on the discriminator's logits for generated images."""


OBJECTIVES: Registry[Objective] = Registry("objective")


@OBJECTIVES.register("non_saturating")
@dataclass(frozen=True)
class NonSaturating:
    """s(t) = log(1 + e^t): real s(-D(x)), fake s(D(G(z))), generator s(-D(G(z))).

    Goodfellow et al. 2014, "Generative adversarial nets", section 3: the discriminator's binary
    cross-entropy, and the generator's loss that does not saturate.
    """

    signed: ClassVar[bool] = False

    def real(self, logits: Tensor) -> Tensor:
        return softplus(-logits)

    def fake(self, logits: Tensor) -> Tensor:
        return softplus(logits)

    def generator(self, logits: Tensor) -> Tensor:
        return softplus(-logits)


@OBJECTIVES.register("hinge")
@dataclass(frozen=True)
class Hinge:
    """Real max(0, 1 - D(x)), fake max(0, 1 + D(G(z))), generator -D(G(z)).

    Lim and Ye 2017, "Geometric GAN", equations 11 and 12.
    """

    signed: ClassVar[bool] = True

    def real(self, logits: Tensor) -> Tensor:
        return relu(1 - logits)

    def fake(self, logits: Tensor) -> Tensor:
        return relu(1 + logits)

    def generator(self, logits: Tensor) -> Tensor:
        return -logits


@OBJECTIVES.register("least_squares")
@dataclass(frozen=True)
class LeastSquares:
    """Real (D(x) - 1)^2 / 2, fake D(G(z))^2 / 2, generator (D(G(z)) - 1)^2 / 2.

    Mao et al. 2017, "Least squares generative adversarial networks", equation 9.
    """

    signed: ClassVar[bool] = False

    def real(self, logits: Tensor) -> Tensor:
        return (logits - 1).square() / 2

    def fake(self, logits: Tensor) -> Tensor:
        return logits.square() / 2

    def generator(self, logits: Tensor) -> Tensor:
        return (logits - 1).square() / 2


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """||grad_x D_k(x)||^2 for every discriminator and real image, [N, B].

    Mescheder, Geiger and Nowozin 2018, "Which training methods for GANs do actually converge?",
    equation 9 without its factor gamma / 2. `logits` [N, B] must depend on `images` [B, C, H, W],
    and each logit on its own image alone for the per-image gradients to be exact.
    """
    gradients = [
        torch.autograd.grad(logits_k.sum(), images, create_graph=True)[0] for logits_k in logits
    ]
    return torch.stack([gradient.square().sum(dim=(1, 2, 3)) for gradient in gradients])
