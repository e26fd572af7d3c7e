"""How the generator weighs its discriminators.

A rule goes by a score of every discriminator, linear in the losses, so that its mean over all
images can be summed up over ranks: the generator's loss against it, unless the rule knows one
earlier. It turns N scores into N weights, which are non-negative and sum to one. With one
discriminator the weight is 1 whatever the rule: DCGAN.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from d3gan.registry import Registry


class Aggregation:
    """A rule for the weights."""

    per_sample: ClassVar[bool] = False
    """Weigh every generated image by itself, instead of all alike by the mean score."""

    selects: ClassVar[bool] = True
    """All weight goes to one discriminator, so that one may speak of the chosen one."""

    takes_signed: ClassVar[bool] = True
    """Whether losses may be below zero."""

    def early_score(self, r: Tensor, f: Tensor) -> Tensor | None:
        """Scores [N, B] from the losses r, f [N, B] of this step's D phase, known before the G
        phase; None for a rule that scores by g, the generator's losses [N, B] of the G phase."""
        return None

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        """Weights [N, B] from scores [N, B] (B = 1 when all images are weighed alike).

        `uniform` [N, 1] is random on (0, 1), the same on every rank.
        """
        raise NotImplementedError


AGGREGATIONS: Registry[Aggregation] = Registry("aggregation rule")


def _only(index: Tensor, like: Tensor) -> Tensor:
    """Weight one for discriminator `index` [B], zero for the others: [N, B]."""
    return one_hot(index, like.shape[0]).T.to(like.dtype)


@AGGREGATIONS.register("original")
@dataclass(frozen=True)
class Original(Aggregation):
    """The discriminator k with the largest r_k + f_{(k+1) mod N}.

    The succeeded project (Shukla and Pitty, "Distributed training of dual discriminator GANs")
    pairs each real loss with the other discriminator's fake loss; the sum's gradient is the same,
    and the pairing decides alone whom the generator faces.
    """

    def early_score(self, r: Tensor, f: Tensor) -> Tensor:
        return r + f.roll(-1, dims=0)

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return _only(score.argmax(dim=0), score)


@AGGREGATIONS.register("max")
@dataclass(frozen=True)
class Max(Aggregation):
    """The discriminator hardest to fool: largest g_k.

    Durugkar, Gemp and Mahadevan 2017, "Generative multi-adversarial networks", section 3.1.
    """

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return _only(score.argmax(dim=0), score)


@AGGREGATIONS.register("hardest_per_sample")
@dataclass(frozen=True)
class HardestPerSample(Max):
    """`max` for every generated image by itself."""

    per_sample: ClassVar[bool] = True
    selects: ClassVar[bool] = False


@AGGREGATIONS.register("min")
@dataclass(frozen=True)
class Min(Aggregation):
    """The discriminator easiest to fool: smallest g_k (the forgiving teacher of GMAN)."""

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return _only(score.argmin(dim=0), score)


@AGGREGATIONS.register("mean")
@dataclass(frozen=True)
class Mean(Aggregation):
    """All alike, 1 / N: the average of the losses."""

    selects: ClassVar[bool] = False

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return torch.full_like(score, 1 / score.shape[0])


@AGGREGATIONS.register("random")
@dataclass(frozen=True)
class Random(Aggregation):
    """One discriminator, drawn anew at every step."""

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return _only(uniform.argmax(dim=0), score).expand_as(score)


@AGGREGATIONS.register("softmax")
@dataclass(frozen=True)
class Softmax(Aggregation):
    """w_k proportional to exp(g_k / temperature): from `max` (to 0) to `mean` (to infinity).

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
    """`softmax` for every generated image by itself."""

    per_sample: ClassVar[bool] = True


@AGGREGATIONS.register("dropout")
@dataclass(frozen=True)
class Dropout(Aggregation):
    """The mean of those discriminators that survive, each dropped with probability p.

    Mordido, Yang and Meinel 2018, "Dropout-GAN". At least one is kept: the one with the largest
    draw, so every one is equally likely to be it.
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
