"""The objective of MCL-GAN: discriminators that become experts of parts of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.gan.objectives.base import OBJECTIVES, JointObjective, Mean, Terms
from d3gan.lazy import functional, torch

if TYPE_CHECKING:
    from torch import Tensor


def experts(logits: Tensor, k: int) -> Tensor:
    """Return 1 for the k largest of N logits [N, B] of each image, and 0 for the others."""
    largest = logits.detach().topk(k, dim=0).indices
    return torch.zeros_like(logits).scatter(0, largest, 1)


def undecided(logits: Tensor) -> Tensor:
    """Return the cross-entropy of a probability with the target 1/2."""
    return functional.softplus(logits) - logits / 2


@OBJECTIVES.register("mcl_gan")
@dataclass(frozen=True)
class MCLGAN(JointObjective):
    """Each image is learned by its k experts, the discriminators with the largest outputs for it.

    Choi and Han 2022, "MCL-GAN: Generative adversarial networks with multiple specialized
    discriminators", with probabilities D_m = sigmoid(logits) of M discriminators, experts v, and
    means over images. The discriminators minimise (equations 3, 4, 6, 8 and 10)
    -sum_m v_m log D_m(x) - sum_m log(1 - D_m(G(z))) + alpha sum_m (1 - v_m) CE(D_m(x), 1/2)
    + beta KL(uniform || q), where q is the mean over real images of softmax_m(D_m(x) / tau).
    The generator minimises -sum_m u_m log D_m(G(z)) + alpha sum_m (1 - u_m) CE(D_m(G(z)), 1/2)
    with the experts u of its own images (equations 5 and 7).

    Differences from the paper: its discriminators share all layers but the last and ours share
    none; the generator's loss is -log D, which does not saturate, not log(1 - D); beta is constant,
    where the paper lowers it during a run; and two terms that the paper adds where they are needed
    are left out, the balance of generated images (equation 9) and a sparse choice of experts. One
    discriminator is the plain non-saturating GAN. The paper's experiments have k = 1; alpha, beta
    and tau are chosen here, because it does not give them.
    """

    equal_weights: ClassVar[bool] = True
    k: int = 1
    alpha: float = 0.1
    beta: float = 1.0
    tau: float = 0.1

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k = {self.k} must be at least 1")
        if self.alpha < 0 or self.beta < 0:
            raise ValueError(f"alpha = {self.alpha} and beta = {self.beta} must be at least 0")
        if not self.tau > 0:
            raise ValueError(f"tau = {self.tau} must be above 0")

    @property
    def least_discriminators(self) -> int:
        return self.k

    def joint_discriminator(self, real: Tensor, fake: Tensor, mean: Mean) -> Terms:
        expert, count = experts(real, self.k), len(real)
        chosen = mean(torch.softmax(real.sigmoid() / self.tau, dim=0))  # q [N]
        above_zero = chosen.clamp(min=torch.finfo(chosen.dtype).tiny)
        divergence = -(count * above_zero).log() / count  # [N], whose sum is KL(uniform || q)
        return {
            "real": expert * functional.softplus(-real),
            "fake": functional.softplus(fake),
            "non_expert": self.alpha * (1 - expert) * undecided(real),
            "balance": (self.beta * divergence)[:, None].expand_as(real),
        }

    def joint_generator(self, fake: Tensor, real: Tensor | None, mean: Mean) -> Terms:
        expert = experts(fake, self.k)
        return {
            "adversarial": expert * functional.softplus(-fake),
            "non_expert": self.alpha * (1 - expert) * undecided(fake),
        }
