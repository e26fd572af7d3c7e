"""SNGAN: sizes, initial weights, and layers against loops."""

import math
from typing import Any

import pytest
import torch
from tests.small_networks import make_discriminators, make_generator
from torch import Tensor, nn
from torch.nn import functional

from d3gan.networks.architecture import ImageShape
from d3gan.networks.norms import NORMS, ConditionalNorm
from d3gan.networks.sngan import HALVING, SNGAN, Block, Discriminator, Generator, UpBlock
from d3gan.networks.spectral_norm import VECTOR, SpectralConv2d, SpectralLinear, spectral_layers


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("resolution", "classes", "widths", "sizes"),
    [
        (32, 0, (256, 128), (4_276_739, 1_053_825)),
        # Two scales and shifts a class in each of three blocks, and an embedding.
        (32, 10, (256, 128), (4_276_739 + 3 * 4 * 9 * 256, 1_053_825 + 10 * 128)),
        (64, 0, (64, 64), (12_220_675, 10_141_441)),
        (128, 0, (64, 64), (32_150_787, 29_017_857)),
    ],
)
def test_parameter_counts(
    resolution: int, classes: int, widths: tuple[int, int], sizes: tuple[int, int]
) -> None:
    images = ImageShape(resolution, 3, classes)
    with torch.device("meta"):
        networks = (
            SNGAN(widths[0]).generator(images, latent_dim=128),
            SNGAN(widths[1]).discriminator(images),
        )
    assert tuple(map(parameters, networks)) == sizes


@pytest.mark.parametrize("resolution", HALVING)
def test_the_sides_of_the_maps(resolution: int) -> None:
    member = make_discriminators("sngan", resolution=resolution, width=2).members[0]
    x, sides = torch.zeros(1, 3, resolution, resolution), []
    for block in member.blocks:
        x = block(x)
        sides.append(x.shape[2])
    assert (
        sides
        == {
            16: [8, 4, 4, 4],
            32: [16, 8, 8, 8],
            64: [32, 16, 8, 4, 2],
            128: [64, 32, 16, 8, 4, 4],
        }[resolution]
    )


def test_initial_weights_have_xavier_s_variance() -> None:
    networks = (
        make_generator("sngan", resolution=32, width=64, latent_dim=64, classes=5),
        make_discriminators("sngan", resolution=32, width=64, classes=5),
    )
    checked = 0
    for network in networks:
        residual = [
            layer
            for block in network.modules()
            if isinstance(block, UpBlock | Block)
            for layer in (block.first, block.second)
        ]
        for layer in network.modules():
            weight = getattr(layer, "weight", None)
            if not isinstance(weight, Tensor) or isinstance(layer, nn.BatchNorm2d):
                continue
            fans = nn.init._calculate_fan_in_and_fan_out(weight)
            gain = math.sqrt(2) if layer in residual else 1
            deviation = gain * math.sqrt(2 / sum(fans))
            tolerance = 4 / math.sqrt(weight.numel())
            assert float(weight.detach().std()) == pytest.approx(deviation, rel=tolerance)
            assert float(weight.detach().abs().max()) <= math.sqrt(3) * deviation
            checked += 1
            if getattr(layer, "bias", None) is not None:
                assert not layer.bias.any()
    assert checked == (1 + 3 * 3 + 1) + (3 + 3 + 2 + 2 + 1 + 1)
    for norm in networks[0].modules():
        if isinstance(norm, ConditionalNorm):
            assert float(norm.scale.detach().mean()) == pytest.approx(1, abs=0.01)
            assert float(norm.scale.detach().std()) == pytest.approx(0.02, rel=0.3)
            assert not norm.shift.any()


@pytest.mark.parametrize("name", NORMS)
def test_a_conditional_norm_is_a_norm_and_a_loop_over_classes(name: str) -> None:
    layer = ConditionalNorm(name, 16, 3).double()
    nn.init.normal_(layer.scale)
    nn.init.normal_(layer.shift)
    x = torch.randn(6, 16, 4, 4, dtype=torch.float64) * 3 + 1
    labels = torch.tensor([2, 0, 1, 1, 2, 0])
    if name == "group":
        plain = (x - x.view(6, 2, -1).mean(2).repeat_interleave(8, 1)[..., None, None]) / (
            x.view(6, 2, -1).var(2, correction=0) + 1e-5
        ).sqrt().repeat_interleave(8, 1)[..., None, None]
    elif name == "none":
        plain = x
    else:
        plain = x - x.mean((0, 2, 3), keepdim=True)
        plain = plain / (plain.square().mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()
    expected = torch.empty_like(x)
    for label in range(3):
        for place in (labels == label).nonzero().flatten():
            for channel in range(16):
                scale, shift = layer.scale[label, channel], layer.shift[label, channel]
                expected[place, channel] = (scale * plain[place, channel] + shift).detach()
    torch.testing.assert_close(layer(x, labels), expected)


def test_the_generator_is_the_paper_s() -> None:
    """The shortcut is upsampled before its convolution, as table 4 and figure 8 have it."""
    generator = make_generator("sngan", resolution=32, norm="batch").double()
    assert isinstance(generator, Generator)
    z = torch.randn(3, 8, dtype=torch.float64)
    x = generator.base(z).view(3, 4, 4, 4)
    for block in generator.blocks:
        up = functional.relu(functional.batch_norm(x, None, None, training=True))
        up = up.repeat_interleave(2, 2).repeat_interleave(2, 3)
        h = functional.conv2d(up, block.first.weight, block.first.bias, padding=1)
        h = functional.batch_norm(h, None, None, training=True)
        shortcut = block.shortcut(x.repeat_interleave(2, 2).repeat_interleave(2, 3))
        x = shortcut + block.second(functional.relu(h))
    x = functional.relu(functional.batch_norm(x, None, None, training=True))
    torch.testing.assert_close(generator(z), torch.tanh(generator.last(x)))


@pytest.mark.parametrize("classes", [0, 3])
def test_the_discriminator_is_the_paper_s(classes: int) -> None:
    """With weights divided by their norms, and pooling after the convolution of the shortcut."""
    member = make_discriminators("sngan", resolution=32, classes=classes).double().members[0]
    assert isinstance(member, Discriminator)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    labels = torch.tensor([2, 0]) if classes else None
    for layer in spectral_layers(member):  # what power iteration leads to
        matrix = layer.get_parameter("weight").detach()
        matrix = matrix if matrix.dim() == 2 else matrix.permute(0, 2, 3, 1).flatten(1)
        layer.get_buffer(VECTOR).copy_(torch.linalg.svd(matrix).U[:, 0])

    def exact(layer: Any) -> Tensor:
        return layer.weight / torch.linalg.matrix_norm(layer.weight.flatten(1), 2)

    def convolution(layer: SpectralConv2d, x: Tensor) -> Tensor:
        return functional.conv2d(x, exact(layer), layer.bias, padding=layer.padding)

    x = images
    for place, block in enumerate(member.blocks):
        h = convolution(block.first, x if place == 0 else x.relu())
        h = convolution(block.second, h.relu())
        if place < 2:
            x = functional.avg_pool2d(convolution(block.shortcut, x), 2)
            h = functional.avg_pool2d(h, 2)
        x = x + h
    features = x.relu().sum((2, 3))
    assert isinstance(member.last, SpectralLinear)
    expected = features @ exact(member.last).T[:, 0] + member.last.bias
    if labels is not None:
        expected = expected + (features * exact(member.embedding)[labels]).sum(1)
    torch.testing.assert_close(member.eval()(images, labels), expected, rtol=1e-6, atol=1e-8)


def test_images_are_bounded() -> None:
    generator = make_generator("sngan")
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(100)
    images = generator(torch.randn(50, 8))
    assert 0.999 < images.abs().max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width = 0: must be at least 1"),
        ({"norm": "bacth"}, "norm = 'bacth': allowed: batch, sync, group, none"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SNGAN(**options)


def test_discriminators_ignore_the_norm() -> None:
    one, other = (make_discriminators("sngan", norm=norm) for norm in ("batch", "none"))
    assert repr(one) == repr(other)
