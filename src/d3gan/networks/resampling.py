"""Resampling by two with the filter [1, 2, 1] * [1, 1] = [1, 3, 3, 1], in both directions.

The filter of StyleGAN2 (Karras et al. 2020, "Analyzing and improving the image quality of
StyleGAN"), which R3GAN keeps (Huang et al. 2024, section 3). Outside of the image is zero.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

FILTER = (1.0, 3.0, 3.0, 1.0)


def upsample(images: Tensor) -> Tensor:
    """Return images [B, C, H, W] at twice the side, [B, C, 2H, 2W]. A constant stays itself
    inside."""
    return 4 * cast(Tensor, _Up.apply(images))  # type: ignore[no-untyped-call]


def downsample(images: Tensor) -> Tensor:
    """Return images [B, C, 2H, 2W] at half the side, [B, C, H, W]. A constant stays itself
    inside."""
    return cast(Tensor, _Down.apply(images))  # type: ignore[no-untyped-call]


def _kernel(images: Tensor) -> Tensor:
    """Return the normalised filter of every channel, [C, 1, 4, 4]."""
    line = torch.tensor(FILTER, dtype=images.dtype, device=images.device) / sum(FILTER)
    return torch.outer(line, line).expand(images.shape[1], 1, -1, -1)


class _Down(Function):
    """Filters and takes every second pixel. Each direction is the other's derivative, so that
    derivatives of any order cost what a forward pass costs."""

    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor) -> Tensor:
        kernel = _kernel(images)
        return functional.conv2d(images, kernel, stride=2, padding=1, groups=len(kernel))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is saved: the map is linear."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return cast(Tensor, _Up.apply(*gradients))  # type: ignore[no-untyped-call]


class _Up(Function):
    """The transpose of `_Down`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor) -> Tensor:
        kernel = _kernel(images)
        return functional.conv_transpose2d(images, kernel, stride=2, padding=1, groups=len(kernel))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is saved: the map is linear."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return cast(Tensor, _Down.apply(*gradients))  # type: ignore[no-untyped-call]
