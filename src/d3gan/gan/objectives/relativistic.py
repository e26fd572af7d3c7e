"""The relativistic pairing objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.gan.objectives.base import OBJECTIVES, Objective, Terms
from d3gan.lazy import functional

if TYPE_CHECKING:
    from torch import Tensor


@OBJECTIVES.register("relativistic")
@dataclass(frozen=True)
class Relativistic(Objective):
    """s(t) = log(1 + e^t): discriminator s(-(D(x) - D(G(z)))), generator s(-(D(G(z)) - D(x))).

    RpGAN: Jolicoeur-Martineau 2019, "The relativistic discriminator", equations 7 and 8, as used
    by Huang et al. 2024, "The GAN is dead; long live the GAN!" (R3GAN), equation 2.
    """

    pairs: ClassVar[bool] = True

    def discriminator(self, real: Tensor, fake: Tensor, k: int) -> Terms:
        return {"relativistic": functional.softplus(fake - real)}

    def generator(self, fake: Tensor, real: Tensor | None, k: int) -> Terms:
        assert real is not None, "the objective pairs: the step supplies logits of real images"
        return {"relativistic": functional.softplus(real - fake)}
