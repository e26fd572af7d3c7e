"""Layers with a fast double backward pass compute what the library's convolutions compute."""

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.small_networks import make_discriminators
from torch import Tensor, nn

from d3gan.acceleration.double_backward import (
    TwiceDifferentiatedConv2d,
    use_fast_double_backward,
)
from d3gan.networks.ensemble import Ensemble


def random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def derivatives(
    layer: Callable[[Tensor], Tensor], weights: list[Tensor], x: Tensor
) -> list[Tensor]:
    """Return the output, its derivatives and those of a penalty on the first derivatives."""
    x = x.detach().requires_grad_()
    y = layer(x)
    first = torch.autograd.grad((y.sin()).sum(), [x, *weights], create_graph=True)
    penalty = sum(slope.square().sum() for slope in first)
    second = torch.autograd.grad(penalty, [x, *weights], create_graph=True)
    third = torch.autograd.grad(second[0].square().sum(), [x, *weights])
    return [y, *first, *second, *third]


@given(
    batch=st.integers(1, 3),
    groups=st.integers(1, 3),
    channels=st.integers(1, 3),
    out=st.integers(1, 3),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    bias=st.booleans(),
)
def test_derivatives_up_to_the_third_are_those_of_the_library(
    batch: int, groups: int, channels: int, out: int, height: int, width: int, bias: bool
) -> None:
    sizes = (groups * channels, groups * out, 3)
    layer = nn.Conv2d(*sizes, padding=1, groups=groups, bias=bias).double()
    replaced = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    use_fast_double_backward(replaced)
    assert type(replaced) is TwiceDifferentiatedConv2d
    x = random(batch, groups * channels, height, width)
    expected = derivatives(layer, list(layer.parameters()), x)
    results = derivatives(replaced, list(replaced.parameters()), x)
    for mine, theirs in zip(results, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_only_suitable_layers_are_replaced() -> None:
    others = [
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.Conv2d(4, 4, 4, 2, 1, groups=2),
        nn.Conv2d(3, 4, 3, 1, 1, padding_mode="reflect"),
        nn.Conv2d(3, 4, 1),
        nn.ConvTranspose2d(3, 4, 3, 1, 1),
    ]
    network = nn.Sequential(*others, nn.Conv2d(3, 4, 3, 1, 1))
    names = list(network.state_dict())
    use_fast_double_backward(network)
    replaced = [type(layer) is TwiceDifferentiatedConv2d for layer in network]
    assert replaced == [False] * len(others) + [True]
    assert list(network.state_dict()) == names


def penalised(ensemble: Ensemble, images: Tensor) -> list[Tensor]:
    """Return logits and the gradients of a loss with a penalty for each discriminator."""
    images = images.clone().requires_grad_()
    logits = ensemble(images)
    slopes = [torch.autograd.grad(row.sum(), images, create_graph=True)[0] for row in logits]
    loss = logits.sin().sum() + torch.stack(slopes).square().sum()
    return [logits, *torch.autograd.grad(loss, list(ensemble.parameters()))]


@pytest.mark.parametrize("way", ["sequential", "stacked"])
def test_stacked_discriminators(way: str) -> None:
    ensemble = make_discriminators("r3gan", 3, width=8).double()
    for parameter in ensemble.parameters():
        nn.init.normal_(parameter, std=0.3)
    images = random(4, 3, 16, 16)
    expected = penalised(ensemble, images)
    use_fast_double_backward(ensemble)
    ensemble.way = way  # type: ignore[assignment]
    for mine, theirs in zip(penalised(ensemble, images), expected, strict=True):
        torch.testing.assert_close(mine, theirs)
