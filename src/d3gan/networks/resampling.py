"""Resampling by two with the filter [1, 2, 1] * [1, 1] = [1, 3, 3, 1], in both directions.

The filter of StyleGAN2 (Karras et al. 2020, "Analyzing and improving the image quality of
StyleGAN"), which R3GAN keeps (Huang et al. 2024, section 3). Outside of the image is zero.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function

FILTER = (1.0, 3.0, 3.0, 1.0)


def upsample(images: Tensor) -> Tensor:
    """Return images [B, C, H, W] at twice the side, [B, C, 2H, 2W], with the same mean."""
    return 4 * cast(Tensor, _Resample.apply(images, True))  # type: ignore[no-untyped-call]


def downsample(images: Tensor) -> Tensor:
    """Return images [B, C, 2H, 2W] at half the side, [B, C, H, W], with the same mean."""
    return cast(Tensor, _Resample.apply(images, False))  # type: ignore[no-untyped-call]


def _resampled(images: Tensor, transposed: bool) -> Tensor:
    """Convolve each channel with the normalised filter, with stride 2; or the transpose of it.

    The filter is not a trained weight, so the precision of autocast is not meant for it: outside of
    CUDA, autocast leaves this operator alone.
    """
    line = torch.tensor(FILTER, dtype=images.dtype, device=images.device) / sum(FILTER)
    channels = images.shape[1]
    kernel = torch.outer(line, line).expand(channels, 1, -1, -1)
    sizes = ([2, 2], [1, 1], [1, 1], transposed, [0, 0], channels)
    return torch.ops.aten.convolution(images, kernel, None, *sizes)  # type: ignore[no-any-return]


class _Resample(Function):
    """One direction. It is the derivative of the other, so that derivatives of any order cost what
    a forward pass costs."""

    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor, transposed: bool) -> Tensor:
        return _resampled(images, transposed)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, bool], output: Any) -> None:
        """Save the direction only: the map is linear."""
        _, ctx.transposed = inputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return cast(Tensor, _Resample.apply(*gradients, not ctx.transposed)), None  # type: ignore[no-untyped-call]
