"""Initial weights as a pure function of the seed."""

import torch
from torch import Tensor, nn

from d3gan.rng import Stream, normal

STANDARD_DEVIATION = 0.02
"""Radford et al. 2016, section 4: weights N(0, 0.02); batch norm's scale N(1, 0.02)."""

DRAWN_AT_ONCE = 2**16
"""Numbers whose intermediate results, all of them 64 bits, stay in a processor's cache."""


@torch.no_grad()
def initialise(network: nn.Module, seed: int, stream: Stream, member: int = 0) -> None:
    """Fill all parameters in place. Member k of an ensemble is the same network whatever N is."""
    for position, (module, parameter, name) in enumerate(_parameters(network)):
        if name == "bias":
            parameter.zero_()
        elif isinstance(module, nn.GroupNorm):
            parameter.fill_(1.0)
        else:
            mean = 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0
            step = member * 1000 + position
            draws = [
                normal(seed, stream, step, index, 1)
                for index in torch.arange(parameter.numel()).split(DRAWN_AT_ONCE)
            ]
            parameter.copy_(mean + STANDARD_DEVIATION * torch.cat(draws).view(parameter.shape))


def _parameters(network: nn.Module) -> list[tuple[nn.Module, Tensor, str]]:
    return [
        (module, parameter, name)
        for module in network.modules()
        for name, parameter in module.named_parameters(recurse=False)
    ]
