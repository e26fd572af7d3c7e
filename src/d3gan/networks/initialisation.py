"""Initial weights as a pure function of the seed."""

import torch
from torch import Tensor, nn

from d3gan.stateless import Stream, normal

STANDARD_DEVIATION = 0.02
"""Radford et al. 2016, section 4: weights N(0, 0.02); batch norm's scale N(1, 0.02)."""


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
            index = torch.arange(parameter.numel())
            draws = normal(seed, stream, member * 1000 + position, index, 1)
            parameter.copy_(mean + STANDARD_DEVIATION * draws.view(parameter.shape))


def _parameters(network: nn.Module) -> list[tuple[nn.Module, Tensor, str]]:
    return [
        (module, parameter, name)
        for module in network.modules()
        for name, parameter in module.named_parameters(recurse=False)
    ]
