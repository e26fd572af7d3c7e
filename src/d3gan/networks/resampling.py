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
    return 4 * cast(Tensor, _Up.apply(images))  # type: ignore[no-untyped-call]


def downsample(images: Tensor) -> Tensor:
    """Return images [B, C, 2H, 2W] at half the side, [B, C, H, W], with the same mean."""
    return cast(Tensor, _Down.apply(images))  # type: ignore[no-untyped-call]


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


class _Down(Function):
    """Filter, and keep every second pixel. Each direction is the other's derivative, so that
    derivatives of any order cost what a forward pass costs."""

    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor) -> Tensor:
        return _resampled(images, transposed=False)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Save nothing: the map is linear."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return cast(Tensor, _Up.apply(*gradients))  # type: ignore[no-untyped-call]


class _Up(Function):
    """The transpose of `_Down`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor) -> Tensor:
        return _resampled(images, transposed=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Save nothing: the map is linear."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return cast(Tensor, _Down.apply(*gradients))  # type: ignore[no-untyped-call]
