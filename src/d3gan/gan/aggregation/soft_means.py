"""Soft means of the losses, between their mean and their maximum.

Durugkar, Gemp and Mahadevan 2017, "Generative multi-adversarial networks" (GMAN), section 3.1: the
generator minimises a mean F(g_1, ..., g_N) weighted by s_k, the softmax of g_k / temperature. Its
weights are w_k = dF / dg_k. The s_k are held constant unless `through_weights` is set; then the
gradient also flows through them, as in the authors' code, and w_k may be negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.gan.aggregation.base import AGGREGATIONS, Aggregation
from d3gan.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def soft_mean_weights(
    score: Tensor, inverse_temperature: float | Tensor, through_weights: bool
) -> Tensor:
    """Return dF / dg_k [N, B] of F = sum_k s_k g_k at the scores g [N, B]."""
    soft = torch.softmax(score * inverse_temperature, dim=0)
    if not through_weights:
        return soft
    mean = (soft * score).sum(dim=0)
    return soft * (1 + inverse_temperature * (score - mean))


@AGGREGATIONS.register("softmax")
@dataclass(frozen=True)
class Softmax(Aggregation):
    """w_k proportional to exp(g_k / temperature): `max` at temperature 0, `mean` at infinity.

    The arithmetic soft mean of GMAN, equation 3, with lambda = 1 / temperature. With
    `through_weights`, w_k = s_k (1 + (g_k - F) / temperature), which sums to one.
    """

    uses_random: ClassVar[bool] = False
    selects: ClassVar[bool] = False
    temperature: float = 1.0
    through_weights: bool = False

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}")

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return soft_mean_weights(score, 1 / self.temperature, self.through_weights)


@AGGREGATIONS.register("softmax_per_sample")
@dataclass(frozen=True)
class SoftmaxPerSample(Softmax):
    """`softmax`, separately for every generated image."""

    per_sample: ClassVar[bool] = True


@AGGREGATIONS.register("geometric_softmax")
@dataclass(frozen=True)
class GeometricSoftmax(Softmax):
    """Minimise the geometric soft mean F = +-exp(sum_k s_k log|g_k|), with the sign of the losses.

    GMAN, equation 4, written there for the saturating loss, which is negative. All losses must have
    one sign. The weights w_k = s_k F / g_k do not sum to one: they are the gradient of F.
    """

    needs_one_sign: ClassVar[bool] = True
    sums_to_one: ClassVar[bool] = False

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        log_soft, log_score = _logarithms(score, self.temperature)
        soft = log_soft.exp()
        log_mean = (soft * log_score).sum(dim=0)
        log_ratio = log_mean - log_score  # of F / g_k
        weights = (log_soft + log_ratio).exp()
        if self.through_weights:
            mean = score.sign() * log_mean.exp()
            weights = weights - soft * mean * log_ratio / self.temperature
        return weights


@AGGREGATIONS.register("harmonic_softmax")
@dataclass(frozen=True)
class HarmonicSoftmax(Softmax):
    """Minimise the harmonic soft mean F = 1 / sum_k (s_k / g_k).

    GMAN, equation 5. All losses must have one sign. The weights w_k = s_k (F / g_k)^2 do not sum to
    one: they are the gradient of F. The authors' code takes the mean of g_k + 0.001 - min_k g_k
    instead, which needs no common sign.
    """

    needs_one_sign: ClassVar[bool] = True
    sums_to_one: ClassVar[bool] = False

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        log_soft, log_score = _logarithms(score, self.temperature)
        log_mean = -torch.logsumexp(log_soft - log_score, dim=0)
        ratio = (log_mean - log_score).exp()  # F / g_k
        weights = (log_soft + 2 * (log_mean - log_score)).exp()
        if self.through_weights:
            mean = score.sign() * log_mean.exp()
            weights = weights - log_soft.exp() * mean * (ratio - 1) / self.temperature
        return weights


def _logarithms(score: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return log s_k and log|g_k|, which are finite even for losses that vanish in rounding."""
    magnitude = score.abs().clamp(min=torch.finfo(score.dtype).tiny)
    return torch.log_softmax(score / temperature, dim=0), magnitude.log()
