"""Views: what a discriminator sees of an image, for any network.

Discriminators with different views of the same images form one game. One that does not see the
whole image does not separate real from generated images perfectly, so its gradient remains useful.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from d3gan.lazy import functional
from d3gan.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from d3gan.networks.architecture import ImageShape


class View:
    """A differentiable function of images, applied after augmentation.

    Gradient penalties are taken with respect to the whole image, through the view.
    """

    def shape(self, images: ImageShape) -> ImageShape:
        """Return the shape for which the discriminator is built.

        Raises ValueError that says which images the view needs.
        """
        raise NotImplementedError

    def draws(self, images: ImageShape) -> int:
        """Return how many fixed random numbers the view of each discriminator needs."""
        return 0

    def __call__(self, images: Tensor, fixed: Tensor | None) -> Tensor:
        """Return what the discriminator sees of images [B, C, H, W]: [B * P, c, h, w].

        The P parts of an image follow each other; the mean of their logits is the image's logit.
        `fixed` [draws] are standard normal numbers, a function of the seed and of the
        discriminator's index k; None without draws.
        """
        raise NotImplementedError


VIEWS: Registry[View] = Registry("view", View)
"""Views by name. A new view is one class here, or a plugin."""


@VIEWS.register("full")
@dataclass(frozen=True)
class Full(View):
    """The image as it is."""

    def shape(self, images: ImageShape) -> ImageShape:
        return images

    def __call__(self, images: Tensor, fixed: Tensor | None) -> Tensor:
        return images


@VIEWS.register("projection")
@dataclass(frozen=True)
class Projection(View):
    """A fixed random projection W_k x to one channel, different for every discriminator k.

    Neyshabur, Bhojanapalli and Chakrabarti 2017, "Stabilizing GAN training with multiple random
    projections", section 3: W_k is a convolution with one filter, whose weights are drawn from
    N(0, 1) and scaled to unit L2 norm. The defaults are the authors' (github.com/ayanc/rpgan,
    filts/rproj.py): 8 x 8 weights for each channel, stride 2, zero padding, so that a 3 x 64 x 64
    image becomes 1 x 32 x 32. W_k is neither trained nor saved.
    """

    size: int = 8
    """Side of the filter, pixels."""
    stride: int = 2
    """Factor by which the resolution falls."""

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.size or (self.size - self.stride) % 2:
            raise ValueError(
                f"size = {self.size}, stride = {self.stride}: the stride must be at least 1, and "
                "size - stride even and at least 0"
            )

    def shape(self, images: ImageShape) -> ImageShape:
        side = _quotient(images.resolution, self.stride, "stride")
        return dataclasses.replace(images, resolution=side, channels=1)

    def draws(self, images: ImageShape) -> int:
        return images.channels * self.size**2

    def __call__(self, images: Tensor, fixed: Tensor | None) -> Tensor:
        assert fixed is not None
        filters = (fixed / fixed.norm()).view(1, -1, self.size, self.size)
        padding = (self.size - self.stride) // 2
        return functional.conv2d(images, filters, stride=self.stride, padding=padding)


@VIEWS.register("lower")
@dataclass(frozen=True)
class Lower(View):
    """The image at a lower resolution; each pixel is the mean of the pixels in its square."""

    resolution: int = 16
    """Side, pixels."""

    def __post_init__(self) -> None:
        _check_positive("resolution", self.resolution)

    def shape(self, images: ImageShape) -> ImageShape:
        _quotient(images.resolution, self.resolution, "resolution")
        return dataclasses.replace(images, resolution=self.resolution)

    def __call__(self, images: Tensor, fixed: Tensor | None) -> Tensor:
        return functional.avg_pool2d(images, images.shape[-1] // self.resolution)


@VIEWS.register("patches")
@dataclass(frozen=True)
class Patches(View):
    """Square patches of the image; its logit is the mean of theirs.

    A Markovian discriminator (Isola et al. 2017, "Image-to-image translation with conditional
    adversarial networks", section 3.2.2, PatchGAN), which judges texture and not arrangement.
    There the loss is averaged over patches, here the logit, so that every objective is defined.
    """

    size: int = 16
    """Side of a patch, pixels."""
    stride: int = 8
    """Distance between neighbouring patches, pixels; below `size` they overlap."""

    def __post_init__(self) -> None:
        _check_positive("size", self.size)
        _check_positive("stride", self.stride)

    def shape(self, images: ImageShape) -> ImageShape:
        if self.size > images.resolution or (images.resolution - self.size) % self.stride:
            raise ValueError(
                f"size = {self.size}, stride = {self.stride}: patches must cover the image, whose "
                f"side is {images.resolution}: it must be size plus a multiple of stride"
            )
        return dataclasses.replace(images, resolution=self.size)

    def __call__(self, images: Tensor, fixed: Tensor | None) -> Tensor:
        size, stride = self.size, self.stride
        windows = images.unfold(2, size, stride).unfold(3, size, stride)  # [B, C, n, n, size, size]
        return windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, images.shape[1], size, size)


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} = {value}: must be at least 1")


def _quotient(side: int, divisor: int, name: str) -> int:
    if side % divisor:
        raise ValueError(f"{name} = {divisor}: must divide the side of the image, which is {side}")
    return side // divisor
