"""Initial weights as a pure function of the seed."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from d3gan.rng import Stream, normal, uniform

CHUNK = 2**16
"""Numbers drawn at once, so that the 64-bit intermediate results stay in the processor's cache."""


def parameters_in_order(network: nn.Module) -> Iterator[tuple[nn.Module, Tensor, str]]:
    """Yield every parameter with the module that owns it and its name there."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            yield module, parameter, name


@torch.no_grad()
def fill_normal(
    parameter: Tensor, seed: int, stream: Stream, step: int, *, std: float, mean: float = 0.0
) -> None:
    """Fill a parameter with N(mean, std^2), independently for every `step`."""
    draws = [normal(seed, stream, step, index, 1) for index in _indices(parameter)]
    parameter.copy_(mean + std * torch.cat(draws).view(parameter.shape))


@torch.no_grad()
def fill_xavier(
    parameter: Tensor, seed: int, stream: Stream, step: int, *, gain: float = 1.0
) -> None:
    """Fill weights [outputs, inputs, ...] uniformly, with variance gain^2 * 2 / (fan_in + fan_out).

    Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural
    networks", equation 16. Independent for every `step`.
    """
    outputs, inputs, *kernel = parameter.shape
    bound = gain * math.sqrt(6 / ((inputs + outputs) * math.prod(kernel)))
    draws = [uniform(seed, stream, step, index, 1) for index in _indices(parameter)]
    parameter.copy_(bound * (2 * torch.cat(draws).view(parameter.shape) - 1))


def _indices(parameter: Tensor) -> list[Tensor]:
    return list(torch.arange(parameter.numel()).split(CHUNK))
