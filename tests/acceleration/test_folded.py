"""Folded resampling computes what a convolution and a resampling compute."""

import copy
from typing import Any

import pytest
import torch

from d3gan.acceleration.folded import FOLDED, fold_resampling
from d3gan.networks.sngan import PooledConv2d, UpsampledConv2d


@pytest.mark.parametrize("kind", [PooledConv2d, UpsampledConv2d])
@pytest.mark.parametrize("sides", [(6, 10), (4, 2), (16, 16)])
@pytest.mark.parametrize("channels", [(3, 5), (4, 1)])
def test_a_folded_layer_computes_the_same(
    kind: Any, sides: tuple[int, int], channels: tuple[int, int]
) -> None:
    plain = kind(*channels, 3, padding=1).double().to(memory_format=torch.channels_last)
    folded = copy.deepcopy(plain)
    fold_resampling(folded)
    assert type(folded) is FOLDED[kind]
    found = []
    for layer in (plain, folded):
        x = torch.linspace(-1, 1, 2 * channels[0] * sides[0] * sides[1], dtype=torch.float64)
        x = x.sin().view(2, channels[0], *sides).requires_grad_()
        maps = layer(x)
        assert maps.shape[1] == channels[1]
        (slope,) = torch.autograd.grad(maps.sin().sum(), x, create_graph=True)
        loss = maps.square().sum() + slope.square().sum()
        gradients = torch.autograd.grad(loss, [x, layer.weight, layer.bias])
        found.append([maps, slope, *gradients, *layer.buffers()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_other_layers_stay() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3), PooledConv2d(1, 1, 3, padding=1))
    fold_resampling(network)
    assert [type(layer) for layer in network] == [torch.nn.Conv2d, FOLDED[PooledConv2d]]
