"""im2col layers compute what the library's convolutions compute."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import fold, unfold

from d3gan.acceleration.im2col import IM2COL, patches, sum_patches, use_im2col

LAYERS = {
    "convolution": lambda c, o, bias: nn.Conv2d(c, o, 4, 2, 1, bias=bias),
    "transposed": lambda c, o, bias: nn.ConvTranspose2d(c, o, 4, 2, 1, bias=bias),
}


def random(*shape: int, requires_grad: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(shape, dtype=torch.float64, generator=generator)
    return x.requires_grad_(requires_grad)


def results(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Return the output, gradients, and the gradient of a squared gradient, as in R1."""
    x = x.detach().requires_grad_()
    y = layer(x)
    (slope,) = torch.autograd.grad((y * y.detach().cos()).sum(), x, create_graph=True)
    slope.square().sum().backward()
    first = [p.grad.clone() for p in layer.parameters() if p.grad is not None]
    layer.zero_grad()
    layer(x).square().sum().backward()
    return [y.detach(), slope.detach(), *first, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize("kind", LAYERS)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 6),
    out=st.integers(1, 6),
    height=st.integers(1, 6).map(lambda n: 2 * n),
    width=st.integers(1, 6).map(lambda n: 2 * n),
    bias=st.booleans(),
)
def test_an_im2col_layer_computes_the_same(
    kind: str, batch: int, channels: int, out: int, height: int, width: int, bias: bool
) -> None:
    layer = LAYERS[kind](channels, out, bias).double()
    replaced = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    use_im2col(replaced)
    assert type(replaced) is IM2COL[type(layer)]
    x = random(batch, channels, height, width)
    for mine, theirs in zip(results(replaced, x), results(layer, x), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 8), (6, 2)])
def test_patches_and_their_transpose_are_those_of_torch(height: int, width: int) -> None:
    x = random(2, 3, height, width)
    theirs = unfold(x, 4, padding=1, stride=2)  # [B, C * 16, positions]: channel first
    rows = patches(x)
    regrouped = rows.view(2, -1, 16, 3).permute(0, 3, 2, 1).reshape(theirs.shape)
    assert torch.equal(regrouped, theirs)
    assert torch.allclose(
        sum_patches(rows, 2, height, width),
        fold(theirs, (height, width), 4, padding=1, stride=2),
    )


def test_only_suitable_layers_are_replaced() -> None:
    others = [
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.Conv2d(4, 4, 4, 2, 1, groups=2),
        nn.Conv2d(3, 4, 4, 2, 1, padding_mode="reflect"),
        nn.ConvTranspose2d(3, 4, 2),
        nn.Linear(2, 2),
    ]
    network = nn.Sequential(*others, nn.Conv2d(3, 4, 4, 2, 1))
    names = list(network.state_dict())
    use_im2col(network)
    replaced = [type(layer) in IM2COL.values() for layer in network]
    assert replaced == [False] * len(others) + [True]
    assert list(network.state_dict()) == names


def test_images_of_odd_size_use_the_library() -> None:
    layer = nn.Conv2d(3, 4, 4, 2, 1)
    x = torch.randn(1, 3, 7, 6)
    expected = layer(x)
    use_im2col(layer)
    assert torch.equal(layer(x), expected)
