"""The objective of DuelGAN: two discriminators, each of which also learns from the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.gan.objectives.base import OBJECTIVES, JointObjective, Mean, Terms
from d3gan.lazy import functional, torch

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return -t log p - (1 - t) log(1 - p) with p = sigmoid(logits) and probabilities t."""
    return functional.softplus(logits) - target * logits


@OBJECTIVES.register("duelgan")
@dataclass(frozen=True)
class DuelGAN(JointObjective):
    """Binary cross-entropy, and a duel in which each discriminator predicts the other's output.

    Wei et al. 2022, "DuelGAN: A duel between two discriminators stabilizes the GAN training":
    D_1 minimises CE(D_1(x), 1) + CE(D_1(G(z)), 0) + beta (CE(D_1(x_1), D_2(x_1))
    - alpha CE(D_1(x_2), D_2(x_3))), and D_2 the same with the roles exchanged. Each of x_1, x_2 and
    x_3 is a real image or a generated one with probability 1/2, drawn independently; the other
    discriminator's probability is a target, without gradient. The first term rewards agreement and
    the second one punishes agreement that does not depend on the image.

    The expectation over x_2 and x_3 is exact here, not sampled: the cross-entropy is linear in its
    target, so that the mean over all pairs of images is the cross-entropy with the mean target.
    The generator minimises the mean of the non-saturating losses, as in the authors' code. That
    code raises alpha and beta to the defaults below and lowers them to 0 again during a run, where
    they are constant here, and it cuts the gradient of the whole duel, which then trains nothing;
    this is the objective of the paper.
    """

    equal_weights: ClassVar[bool] = True
    discriminators: ClassVar[int | None] = 2
    alpha: float = 0.3
    beta: float = 0.5

    def __post_init__(self) -> None:
        if self.alpha < 0 or self.beta < 0:
            raise ValueError(f"alpha = {self.alpha} and beta = {self.beta} must be at least 0")

    def joint_discriminator(self, real: Tensor, fake: Tensor, mean: Mean) -> Terms:
        images = torch.stack([real, fake])  # [2, N, B]: both kinds, with probability 1/2 each
        target = images.detach().sigmoid().flip(dims=[1])  # of the other discriminator
        anywhere = mean(target.mean(dim=0))[:, None]
        duel = cross_entropy(images, target) - self.alpha * cross_entropy(images, anywhere)
        return {
            "real": functional.softplus(-real),
            "fake": functional.softplus(fake),
            "duel": self.beta * duel.mean(dim=0),
        }

    def joint_generator(self, fake: Tensor, real: Tensor | None, mean: Mean) -> Terms:
        return {"adversarial": functional.softplus(-fake)}
