"""How the generator weighs its discriminators.

A rule turns a score of every discriminator into N weights, which are non-negative and sum to one.
Scores are linear in the losses, so their mean over all images can be summed over ranks. With one
discriminator the weight is 1 whatever the rule: the plain GAN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.lazy import functional, torch
from d3gan.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


class Aggregation:
    """A rule that computes the weights."""

    per_sample: ClassVar[bool] = False
    """Whether every generated image has its own weights, instead of all sharing those of the mean
    score."""
    selects: ClassVar[bool] = True
    """Whether all weight goes to one discriminator, the chosen one."""
    takes_signed: ClassVar[bool] = True
    """Whether losses may be negative."""
    needs_separable: ClassVar[bool] = False
    """Whether the rule is defined for separable objectives only."""

    def early_score(self, terms: Mapping[str, Tensor]) -> Tensor | None:
        """Return scores [N, B] from the terms [N, B] of the discriminators' step.

        None for a rule that scores by g, the generator's losses [N, B] of its own step.
        """
        return None

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        """Return weights [N, B] from scores [N, B], where B = 1 unless the rule is per sample.

        `uniform` [N, 1] is random on (0, 1) and the same on every rank.
        """
        raise NotImplementedError


AGGREGATIONS: Registry[Aggregation] = Registry("aggregation rule", Aggregation)


def _one_hot(index: Tensor, like: Tensor) -> Tensor:
    """Return weights [N, B]: one for discriminator `index` [B], zero for the others."""
    return functional.one_hot(index, like.shape[0]).T.to(like.dtype)


@AGGREGATIONS.register("original")
@dataclass(frozen=True)
class Original(Aggregation):
    """Choose the discriminator k with the largest r_k + f_{(k+1) mod N}.

    The succeeded project (Shukla and Pitty, "Distributed training of dual discriminator GANs")
    adds each discriminator's real loss to the next one's fake loss. The gradient of the sum is the
    same; the pairing only decides which discriminator the generator faces.
    """

    needs_separable: ClassVar[bool] = True

    def early_score(self, terms: Mapping[str, Tensor]) -> Tensor:
        return terms["real"] + terms["fake"].roll(-1, dims=0)

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return _one_hot(score.argmax(dim=0), score)


@AGGREGATIONS.register("max")
@dataclass(frozen=True)
class Max(Aggregation):
    """Choose the discriminator that is hardest to fool: the largest g_k.

    Durugkar, Gemp and Mahadevan 2017, "Generative multi-adversarial networks", section 3.1.
    """

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return _one_hot(score.argmax(dim=0), score)


@AGGREGATIONS.register("hardest_per_sample")
@dataclass(frozen=True)
class HardestPerSample(Max):
    """`max`, separately for every generated image."""

    per_sample: ClassVar[bool] = True
    selects: ClassVar[bool] = False


@AGGREGATIONS.register("min")
@dataclass(frozen=True)
class Min(Aggregation):
    """Choose the discriminator that is easiest to fool: the smallest g_k.

    The forgiving teacher of GMAN, section 3.2.
    """

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return _one_hot(score.argmin(dim=0), score)


@AGGREGATIONS.register("mean")
@dataclass(frozen=True)
class Mean(Aggregation):
    """Weigh all discriminators equally, 1 / N each."""

    selects: ClassVar[bool] = False

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return torch.full_like(score, 1 / score.shape[0])


@AGGREGATIONS.register("random")
@dataclass(frozen=True)
class Random(Aggregation):
    """Choose one discriminator at random at every step."""

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return _one_hot(uniform.argmax(dim=0), score).expand_as(score)


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


@AGGREGATIONS.register("dropout")
@dataclass(frozen=True)
class Dropout(Aggregation):
    """Average the discriminators that survive; each is dropped with probability p.

    Mordido, Yang and Meinel 2018, "Dropout-GAN". At least one is kept: the one with the
    largest random number, so all are equally likely.
    """

    selects: ClassVar[bool] = False
    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ValueError(f"p must be at least 0 and below 1, not {self.p}")

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        kept = (uniform >= self.p) | (uniform == uniform.max(dim=0).values)
        return (kept / kept.sum(dim=0)).to(score.dtype).expand_as(score)


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
