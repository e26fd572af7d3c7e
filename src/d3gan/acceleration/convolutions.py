"""The ways in which a CPU can compute a convolution, by name.

Each way is a class of modules with the same weights, names and results up to rounding. Networks do
not know of them: `use_kernel` replaces the class of a module in a finished network.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from d3gan.acceleration import double_backward, im2col
from d3gan.acceleration.products import has_onednn_product

LIBRARY = "library"
"""torch's own kernel, with images and weights channels-last: what a layer computes untuned."""


class ContiguousConv2d(nn.Conv2d):
    """A convolution of contiguous images, which are channels-last before and after it."""

    def forward(self, input: Tensor) -> Tensor:
        maps: Tensor = self._conv_forward(input.contiguous(), self.weight.contiguous(), self.bias)
        return maps.contiguous(memory_format=torch.channels_last)


class ContiguousConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution of contiguous images, channels-last before and after it."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        sizes: Any = (self.stride, self.padding, self.output_padding)
        images, weight = input.contiguous(), self.weight.contiguous()
        rest: Any = (self.groups, self.dilation)
        maps = functional.conv_transpose2d(images, weight, self.bias, *sizes, *rest)
        return maps.contiguous(memory_format=torch.channels_last)


KERNELS: dict[str, dict[type[nn.Module], type[nn.Module]]] = {
    LIBRARY: {nn.Conv2d: nn.Conv2d, nn.ConvTranspose2d: nn.ConvTranspose2d},
    "contiguous": {
        nn.Conv2d: ContiguousConv2d,
        nn.ConvTranspose2d: ContiguousConvTranspose2d,
    },
    "three-products": {nn.Conv2d: double_backward.TwiceDifferentiatedConv2d},
    "im2col": {
        nn.Conv2d: im2col.Im2colConv2d,
        nn.ConvTranspose2d: im2col.Im2colConvTranspose2d,
    },
    "im2col-onednn": {
        nn.Conv2d: im2col.OnednnConv2d,
        nn.ConvTranspose2d: im2col.OnednnConvTranspose2d,
    },
}
"""Class that computes a layer of torch's class, for each way."""

TORCH_CLASS = {
    replaced: original for classes in KERNELS.values() for original, replaced in classes.items()
}


def convolutions(network: nn.Module) -> dict[str, nn.Module]:
    """Return the convolutions of a network that can be computed in several ways, by name."""
    return {name: module for name, module in network.named_modules() if type(module) in TORCH_CLASS}


def use_kernels(network: nn.Module, kernels: Mapping[str, str]) -> None:
    """Compute the convolutions of a network, given by their names, with other kernels.

    Names of other layers are ignored. Raises ValueError if a kernel does not exist here.
    """
    for name, module in convolutions(network).items():
        if name in kernels:
            use_kernel(module, kernels[name])


def kernels_for(module: nn.Module) -> list[str]:
    """Return the ways in which this machine can compute a convolution; `LIBRARY` is the first."""
    names = [LIBRARY, "contiguous"]
    if double_backward.fits(module):
        names.append("three-products")
    if im2col.fits(module):
        names += ["im2col", *(["im2col-onednn"] if has_onednn_product() else [])]
    return names


def use_kernel(module: nn.Module, name: str) -> None:
    """Compute a convolution in the way `name`. Raises ValueError if that is impossible here."""
    if name not in kernels_for(module):
        raise ValueError(f"this machine cannot compute a convolution with the kernel {name!r}")
    module.__class__ = KERNELS[name][TORCH_CLASS[type(module)]]


def kernel_of(module: nn.Module) -> str:
    """Return the way in which a convolution is computed."""
    return next(name for name, classes in KERNELS.items() if type(module) in classes.values())
