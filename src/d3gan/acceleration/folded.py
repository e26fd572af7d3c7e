"""Convolutions before or after a resampling by two as one convolution of stride 2.

A 3 x 3 convolution followed by the mean over 2 x 2 pixels is a convolution of stride 2 whose 4 x 4
kernel is the mean of the four kernels shifted by a pixel; after the repetition of every pixel it is
the transpose of such a convolution (Karras et al. 2018, "Progressive growing of GANs", fuse both in
their code). That takes 16 products in place of 36, and no large map in between.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from d3gan.networks.sngan import PooledConv2d, UpsampledConv2d

SMALL_MAP = 4
"""Largest side of a map whose upsampling is not folded, because the library is faster there."""


def shifted_sum(kernel: Tensor) -> Tensor:
    """Return kernels [..., 3, 3] as the sum [..., 4, 4] of those shifted by (0 or 1, 0 or 1)."""
    padded = functional.pad(kernel, (1, 1, 1, 1))
    rows = padded[..., :-1, :] + padded[..., 1:, :]
    both = rows[..., :-1] + rows[..., 1:]
    return both.contiguous(memory_format=torch.channels_last)


class FoldedPooledConv2d(PooledConv2d):
    """`PooledConv2d` as one convolution of stride 2."""

    def forward(self, input: Tensor) -> Tensor:
        kernel = shifted_sum(self.normalised_weight()) / 4
        return functional.conv2d(input, kernel, self.bias, stride=2, padding=1)


class FoldedUpsampledConv2d(UpsampledConv2d):
    """`UpsampledConv2d` as one transposed convolution of stride 2."""

    def forward(self, input: Tensor) -> Tensor:
        if max(input.shape[2:]) <= SMALL_MAP:
            return super().forward(input)
        kernel = shifted_sum(self.weight.flip(2, 3).transpose(0, 1))
        return functional.conv_transpose2d(input, kernel, self.bias, stride=2, padding=1)


FOLDED: dict[type[nn.Module], type[nn.Module]] = {
    PooledConv2d: FoldedPooledConv2d,
    UpsampledConv2d: FoldedUpsampledConv2d,
}


def fold_resampling(network: nn.Module) -> None:
    """Replace the classes of convolutions next to a resampling; weights and names stay."""
    for module in network.modules():
        module.__class__ = FOLDED.get(type(module), type(module))
