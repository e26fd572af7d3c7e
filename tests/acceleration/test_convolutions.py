"""Every kernel computes what torch's convolutions compute, to the second derivative."""

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import fold, unfold

from d3gan.acceleration.convolutions import (
    KERNELS,
    LIBRARY,
    convolutions,
    kernel_of,
    kernels_for,
    use_kernel,
    use_kernels,
)
from d3gan.acceleration.im2col import patches, sum_patches

LAYERS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "4x4, stride 2": lambda c, o, bias: nn.Conv2d(c, o, 4, 2, 1, bias=bias),
    "3x3": lambda c, o, bias: nn.Conv2d(c, o, 3, 1, 1, bias=bias),
    "1x1": lambda c, o, bias: nn.Conv2d(c, o, 1, bias=bias),
    "2x2 without padding": lambda c, o, bias: nn.Conv2d(c, o, 2, bias=bias),
    "transposed, 4x4, stride 2": lambda c, o, bias: nn.ConvTranspose2d(c, o, 4, 2, 1, bias=bias),
    "transposed, 2x2 without padding": lambda c, o, bias: nn.ConvTranspose2d(c, o, 2, bias=bias),
}


def random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def results(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Return the output, gradients, and the gradients of a squared gradient, as in R1."""
    x, weights = x.detach().requires_grad_(), list(layer.parameters())
    y = layer(x)
    (slope,) = torch.autograd.grad((y * y.detach().cos()).sum(), x, create_graph=True)
    second = torch.autograd.grad(slope.square().sum(), weights, allow_unused=True)
    first = torch.autograd.grad(layer(x).square().sum(), [x, *weights])
    return [y.detach(), slope.detach(), *first, *(g for g in second if g is not None)]


@pytest.mark.parametrize("kernel", [name for name in KERNELS if name != LIBRARY])
@pytest.mark.parametrize("kind", LAYERS)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 6),
    out=st.integers(1, 6),
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    bias=st.booleans(),
)
def test_a_kernel_computes_the_same(
    kind: str, kernel: str, batch: int, channels: int, out: int, height: int, width: int, bias: bool
) -> None:
    layer = LAYERS[kind](channels, out, bias).double()
    if kernel not in kernels_for(layer):
        return
    replaced = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    use_kernel(replaced, kernel)
    assert kernel_of(replaced) == kernel
    x = random(batch, channels, height, width)
    for mine, theirs in zip(results(replaced, x), results(layer, x), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kernel", [name for name in KERNELS if name != LIBRARY])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_kernel_computes_the_same_in_float32(kind: str, kernel: str) -> None:
    """oneDNN multiplies no fp64, so its products are tested here."""
    torch.manual_seed(0)
    layer = LAYERS[kind](20, 12, False)
    if kernel not in kernels_for(layer):
        return
    replaced = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    use_kernel(replaced, kernel)
    x = random(5, 20, 6, 6)
    expected = results(layer.double(), x)
    for mine, theirs in zip(results(replaced, x.float()), expected, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(mine, theirs.float(), rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_are_laid_out_like_the_weights(kind: str, kernel: str) -> None:
    """Otherwise every step would copy them."""
    layer = LAYERS[kind](16, 12, False).to(memory_format=torch.channels_last)
    if kernel not in kernels_for(layer):
        return
    use_kernel(layer, kernel)
    maps = layer(torch.randn(4, 16, 8, 8).to(memory_format=torch.channels_last))
    (gradient,) = torch.autograd.grad(maps.sum(), layer.weight)
    if kernel != "contiguous":
        assert gradient.is_contiguous(memory_format=torch.channels_last)
    assert maps.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("kind", LAYERS)
def test_an_activation_may_work_in_place(kind: str, kernel: str) -> None:
    layer = LAYERS[kind](3, 4, False).double()
    if kernel not in kernels_for(layer):
        return
    x, activation = random(2, 3, 1, 1) if "without" in kind else random(2, 3, 4, 4), nn.ReLU()
    x = random(2, 3, 2, 2) if kind == "2x2 without padding" else x
    expected = results(nn.Sequential(layer, activation), x)
    replaced = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    use_kernel(replaced, kernel)
    found = results(nn.Sequential(replaced, nn.ReLU(inplace=True)), x)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 8), (6, 2)])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(4, 2, 1), (3, 1, 1), (2, 1, 0)])
def test_patches_and_their_transpose_are_those_of_torch(
    height: int, width: int, kernel: int, stride: int, padding: int
) -> None:
    x = random(2, 3, height, width)
    options = {"kernel_size": kernel, "padding": padding, "stride": stride}
    theirs = unfold(x, **options)  # [B, C * kernel^2, positions]: channel first
    rows = patches(x, kernel, stride, padding)
    regrouped = rows.view(2, -1, kernel**2, 3).permute(0, 3, 2, 1).reshape(theirs.shape)
    assert torch.equal(regrouped, theirs)
    h, w = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
    summed = sum_patches(rows, ((2, h, w), kernel, stride, padding))
    assert torch.allclose(summed, fold(theirs, (height, width), **options))


def test_kernels_are_offered_for_suitable_layers_only() -> None:
    unsuitable = [
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.Conv2d(4, 4, 4, 2, 1, groups=2),
        nn.Conv2d(3, 4, 4, 2, 1, padding_mode="reflect"),
        nn.Conv2d(3, 4, (4, 2), 2, 1),
        nn.Conv2d(3, 4, 4, 2, 1, dilation=2),
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.ConvTranspose2d(3, 4, 4, 2, 1, output_padding=1),
    ]
    for layer in unsuitable:
        assert "im2col" not in kernels_for(layer)
        with pytest.raises(ValueError, match="im2col"):
            use_kernel(layer, "im2col")


def test_layers_are_replaced_by_name_and_keep_theirs() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 1, 1))
    names = list(network.state_dict())
    use_kernels(network, {"0": "im2col", "2": "three-products", "7": "im2col"})
    assert {n: kernel_of(m) for n, m in convolutions(network).items()} == {
        "0": "im2col",
        "2": "three-products",
    }
    use_kernels(network, {"0": LIBRARY})
    assert type(network[0]) is nn.Conv2d
    assert list(network.state_dict()) == names
