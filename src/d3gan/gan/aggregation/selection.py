"""Rules that choose one discriminator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.gan.aggregation.base import AGGREGATIONS, Aggregation
from d3gan.lazy import functional

if TYPE_CHECKING:
    from torch import Tensor


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

    uses_random: ClassVar[bool] = False
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

    uses_random: ClassVar[bool] = False

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

    uses_random: ClassVar[bool] = False

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return _one_hot(score.argmin(dim=0), score)


@AGGREGATIONS.register("random")
@dataclass(frozen=True)
class Random(Aggregation):
    """Choose one discriminator at random at every step."""

    needs_scores: ClassVar[bool] = False

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        return _one_hot(uniform.argmax(dim=0), score).expand_as(score)
