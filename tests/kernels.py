"""Kernels of convolutions in tests."""

from torch import nn

from d3gan.acceleration.convolutions import convolutions, kernels_for, use_kernel


def use_everywhere(network: nn.Module, kernel: str) -> None:
    """Compute all convolutions that a kernel can compute with it."""
    for module in convolutions(network).values():
        if kernel in kernels_for(module):
            use_kernel(module, kernel)
