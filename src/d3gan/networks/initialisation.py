"""Initial weights as a pure function of the seed."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from d3gan.rng import Stream, normal

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
    draws = [
        normal(seed, stream, step, index, 1)
        for index in torch.arange(parameter.numel()).split(CHUNK)
    ]
    parameter.copy_(mean + std * torch.cat(draws).view(parameter.shape))
