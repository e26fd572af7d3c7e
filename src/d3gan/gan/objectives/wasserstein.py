"""The Wasserstein objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.gan.objectives.base import OBJECTIVES, SeparableObjective

if TYPE_CHECKING:
    from torch import Tensor


@OBJECTIVES.register("wasserstein")
@dataclass(frozen=True)
class Wasserstein(SeparableObjective):
    """Real -D(x), fake D(G(z)), generator -D(G(z)).

    Arjovsky, Chintala and Bottou 2017, "Wasserstein GAN", equation 3. The critic must be
    Lipschitz: combine it with the penalty ``wgan_gp`` or with spectral normalisation.
    """

    signed: ClassVar[bool] = True

    def real_loss(self, logits: Tensor) -> Tensor:
        return -logits

    def fake_loss(self, logits: Tensor) -> Tensor:
        return logits

    def generator_loss(self, logits: Tensor) -> Tensor:
        return -logits
