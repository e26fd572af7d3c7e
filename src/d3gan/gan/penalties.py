"""Gradient penalties of the discriminators.

A penalty acts on the gradient of each logit with respect to images before augmentation: real
images (R1), generated images (R2), or points between both (WGAN-GP).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.lazy import torch
from d3gan.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


class Penalty:
    """A term ``weight * value`` of every discriminator's loss, per image."""

    name: ClassVar[str]
    """Column of the unweighted value in the metrics."""
    interpolates: ClassVar[bool] = False
    """Whether `points` uses `uniform`."""

    @property
    def weight(self) -> float:
        """Factor of the value in the discriminator's loss."""
        raise NotImplementedError

    def points(self, real: Tensor, fake: Tensor, uniform: Tensor | None) -> Tensor:
        """Return the images [B, C, H, W] at which gradients are taken.

        These are `real` or `fake` themselves, or new ones. `uniform` [B, 1] is random on (0, 1),
        and is given if the penalty `interpolates`.
        """
        raise NotImplementedError

    def value(self, gradient: Tensor) -> Tensor:
        """Return the penalty [B] from the gradient [B, C, H, W] of each image's logit."""
        raise NotImplementedError


PENALTIES: Registry[Penalty] = Registry("penalty", Penalty)


def squared_norm(gradient: Tensor) -> Tensor:
    """Return the squared Euclidean norm [B] of each image's gradient [B, C, H, W]."""
    return gradient.square().sum(dim=(1, 2, 3))


@PENALTIES.register("r1")
@dataclass(frozen=True)
class R1(Penalty):
    """gamma / 2 * ||grad D(x)||^2 at real images.

    Mescheder, Geiger and Nowozin 2018, "Which training methods for GANs do actually converge?",
    equation 9.
    """

    name: ClassVar[str] = "r1"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if not self.gamma > 0:
            raise ValueError(f"gamma = {self.gamma}: must be above 0")

    @property
    def weight(self) -> float:
        return self.gamma / 2

    def points(self, real: Tensor, fake: Tensor, uniform: Tensor | None) -> Tensor:
        return real

    def value(self, gradient: Tensor) -> Tensor:
        return squared_norm(gradient)


@PENALTIES.register("r2")
@dataclass(frozen=True)
class R2(R1):
    """gamma / 2 * ||grad D(G(z))||^2 at generated images.

    Mescheder, Geiger and Nowozin 2018, equation 10.
    """

    name: ClassVar[str] = "r2"

    def points(self, real: Tensor, fake: Tensor, uniform: Tensor | None) -> Tensor:
        return fake


@PENALTIES.register("wgan_gp")
@dataclass(frozen=True)
class WganGp(Penalty):
    """weight * (||grad D(u)|| - 1)^2 at u = e x + (1 - e) G(z), e uniform on (0, 1) per image.

    Gulrajani et al. 2017, "Improved training of Wasserstein GANs", equation 3. In the
    configuration the weight (the paper's lambda) is written ``wgan_gp(coefficient=10)``.
    """

    name: ClassVar[str] = "wgan_gp"
    interpolates: ClassVar[bool] = True
    coefficient: float = 10.0

    def __post_init__(self) -> None:
        if not self.coefficient > 0:
            raise ValueError(f"coefficient = {self.coefficient}: must be above 0")

    @property
    def weight(self) -> float:
        return self.coefficient

    def points(self, real: Tensor, fake: Tensor, uniform: Tensor | None) -> Tensor:
        assert uniform is not None, "the penalty interpolates: the step supplies random numbers"
        share = uniform.to(real)[:, :, None, None]
        return share * real + (1 - share) * fake

    def value(self, gradient: Tensor) -> Tensor:
        # The root has no derivative at 0; the smallest normal number keeps the gradient finite.
        norm = squared_norm(gradient).clamp(min=torch.finfo(gradient.dtype).tiny).sqrt()
        return (norm - 1).square()
