"""Rules that learn their weights during training; their state is a part of the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.gan.aggregation.base import AGGREGATIONS, Aggregation
from d3gan.gan.aggregation.soft_means import soft_mean_weights
from d3gan.lazy import functional, torch

if TYPE_CHECKING:
    from torch import Tensor

BETA2, EPSILON = 0.999, 1e-8
"""Adam's decay rate of the second moment, and the constant in its denominator."""


@AGGREGATIONS.register("gman_star")
@dataclass(frozen=True)
class GmanStar(Aggregation):
    """`softmax` with a learned inverse temperature lambda = softplus(l).

    Durugkar, Gemp and Mahadevan 2017, "Generative multi-adversarial networks", equation 7: l
    minimises sum_k s_k g_k - c lambda, where s_k is proportional to exp(lambda g_k), by a step of
    Adam (`lr`, `beta1`, 0.999) after each of the generator's. While the variance of the losses is
    above c, lambda falls and the weights become more equal. `initial` is the first l.
    """

    uses_random: ClassVar[bool] = False
    selects: ClassVar[bool] = False
    c: float = 0.001
    lr: float = 0.0002
    beta1: float = 0.5
    initial: float = -2.0
    through_weights: bool = False

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"lr must be above 0, not {self.lr}")
        if not 0 <= self.beta1 < 1:
            raise ValueError(f"beta1 must be at least 0 and below 1, not {self.beta1}")

    def initial_state(self, count: int) -> dict[str, Tensor]:
        zero = torch.zeros((), dtype=torch.float64)
        names = ("l", "first_moment", "second_moment", "steps")
        return {name: zero + self.initial * (name == "l") for name in names}

    def adaptive_weights(
        self, score: Tensor, uniform: Tensor, state: Mapping[str, Tensor]
    ) -> Tensor:
        inverse_temperature = functional.softplus(state["l"]).to(score)
        return soft_mean_weights(score, inverse_temperature, self.through_weights)

    def update(
        self,
        state: Mapping[str, Tensor],
        score: Tensor,
        before: Tensor | None,
        after: Tensor | None,
    ) -> None:
        g = score[:, 0].to(state["l"])
        s = torch.softmax(functional.softplus(state["l"]) * g, dim=0)
        # d/d lambda of sum_k s_k g_k is the variance of the g_k under the weights s_k.
        variance = (s * (g - (s * g).sum()).square()).sum()
        gradient = (variance - self.c) * torch.sigmoid(state["l"])
        _adam_step(state, gradient, self.lr, self.beta1)


def _adam_step(state: Mapping[str, Tensor], gradient: Tensor, lr: float, beta1: float) -> None:
    """Change l and the moments in `state` by one step (Kingma and Ba 2015, algorithm 1)."""
    steps, first, second = state["steps"], state["first_moment"], state["second_moment"]
    steps.add_(1)
    first.mul_(beta1).add_(gradient, alpha=1 - beta1)
    second.mul_(BETA2).add_(gradient.square(), alpha=1 - BETA2)
    unbiased_first, unbiased_second = first / (1 - beta1**steps), second / (1 - BETA2**steps)
    state["l"].sub_(lr * unbiased_first / (unbiased_second.sqrt() + EPSILON))


@AGGREGATIONS.register("adaptive")
@dataclass(frozen=True)
class Adaptive(Aggregation):
    """Prefer the discriminators that the generator makes most progress against.

    Doan et al. 2019, "On-line adaptative curriculum learning for GANs" (acGAN): w is the softmax of
    `inverse_temperature` Q, and after each of the generator's updates Q_k <- alpha r_k +
    (1 - alpha) Q_k, with the reward r_k = E D_k(G(z)) after the update minus the same before it,
    for the same z; D_k is the sigmoid of the logit. Q begins at 0. The default of alpha is
    uncertain: public reimplementations have 0.1 and 0.01.
    """

    uses_random: ClassVar[bool] = False
    selects: ClassVar[bool] = False
    feedback: ClassVar[bool] = True
    inverse_temperature: float = 15.0
    alpha: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha must be above 0 and at most 1, not {self.alpha}")

    def initial_state(self, count: int) -> dict[str, Tensor]:
        return {"q": torch.zeros(count, dtype=torch.float64)}

    def adaptive_weights(
        self, score: Tensor, uniform: Tensor, state: Mapping[str, Tensor]
    ) -> Tensor:
        weights = torch.softmax(self.inverse_temperature * state["q"], dim=0)
        return weights.to(score)[:, None].expand_as(score)

    def update(
        self,
        state: Mapping[str, Tensor],
        score: Tensor,
        before: Tensor | None,
        after: Tensor | None,
    ) -> None:
        assert before is not None
        assert after is not None
        q = state["q"]
        reward = after.to(q) - before.to(q)
        q.mul_(1 - self.alpha).add_(reward, alpha=self.alpha)
