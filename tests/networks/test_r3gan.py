"""R3GAN: its published sizes, its initialisation, its layers."""

import math
from typing import Any

import pytest
import torch
from tests.small_networks import make_discriminators, make_generator
from torch import Tensor, nn

from d3gan.networks.architecture import ImageShape
from d3gan.networks.r3gan import R3GAN, Block, Discriminator, Generator
from d3gan.networks.resampling import downsample, upsample
from d3gan.rng import Stream

CIFAR = ImageShape(32, 3, classes=10)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def initialised(options: R3GAN, images: ImageShape, latent_dim: int = 64) -> list[nn.Module]:
    networks = [options.generator(images, latent_dim), options.discriminator(images)]
    for network in networks:
        options.initialise(network, 0, Stream.GENERATOR_WEIGHTS, 0)
        network.requires_grad_(False)
    return networks


def test_parameter_counts_on_cifar10_are_the_published_ones() -> None:
    with torch.device("meta"):
        generator, discriminator = R3GAN().generator(CIFAR, 64), R3GAN().discriminator(CIFAR)
    assert parameters(generator) == 20_781_952  # published: 20.78 M
    assert parameters(discriminator) == 21_280_512  # 21.28 M
    (block, *_) = (module for module in generator.modules() if isinstance(module, Block))
    assert block.grouped.groups == 96


@pytest.mark.parametrize(
    ("width", "resolution", "widths"),
    [
        (768, 32, (768, 768, 768, 768)),  # CIFAR-10
        (768, 64, (768, 768, 768, 768, 384)),  # FFHQ-64
        (1536, 32, (1536, 1536, 1536, 1536)),  # ImageNet-32
        (768, 256, (768, 768, 768, 768, 384, 192, 96)),  # FFHQ-256
        (2, 256, (2, 2, 2, 2, 1, 1, 1)),
        (16, 16, (16, 16, 16)),
    ],
)
def test_channels_of_the_stages(width: int, resolution: int, widths: tuple[int, ...]) -> None:
    assert R3GAN(width).widths(resolution) == widths


def test_the_stages_can_be_given() -> None:
    options = R3GAN(stages=(8, 4, 4))
    assert options.widths(16) == (8, 4, 4)
    with pytest.raises(ValueError, match=r"32 x 32 images need 4, for maps from 4 x 4 on"):
        options.widths(32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width = 0: must be at least 1"),
        ({"blocks": 0}, "blocks = 0: must be at least 1"),
        ({"stages": (8, 2.5)}, r"stages = \(8, 2.5\): must be integers"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        R3GAN(**options)


def test_groups_have_sixteen_channels() -> None:
    for width, groups in ((768, 96), (16, 2), (4, 1), (12, 3)):
        assert Block(R3GAN(), width).grouped.groups == groups
    assert Block(R3GAN(group_size=4, expansion=3), 16).grouped.groups == 12


# Initialisation


def test_variances_of_the_initial_weights() -> None:
    options = R3GAN(width=256)
    gain = 2 / 1.04 / math.sqrt(8)  # squared, of 8 blocks
    for network in initialised(options, CIFAR):
        blocks = [module for module in network.modules() if isinstance(module, Block)]
        assert len(blocks) == 8
        for block in blocks:
            assert float(block.expand.weight.var()) == pytest.approx(gain / 256, rel=0.03)
            assert float(block.grouped.weight.var()) == pytest.approx(gain / (16 * 9), rel=0.03)
            assert not block.project.weight.any()
            assert not block.expand.bias.any()
            assert not block.grouped.bias.any()
    generator, discriminator = initialised(options, CIFAR)
    expected = {
        generator.input.weight: 1 / 128,
        generator.basis: 1.0,
        generator.output.weight: 1 / 256,
        generator.embedding.weight: 1 / 10,
        discriminator.input.weight: 1 / 3,
        discriminator.basis: 1 / 16,
        discriminator.output.weight: 1 / 256,
        discriminator.embedding.weight: 1 / 10 / 256,
    }
    for weight, variance in expected.items():
        few = 6 / math.sqrt(weight.numel())
        assert float(weight.var()) == pytest.approx(variance, rel=few)


def test_a_block_is_the_identity_at_first_and_its_inside_has_the_published_variance() -> None:
    torch.manual_seed(0)
    generator, _ = initialised(R3GAN(width=256), CIFAR)
    block = generator.stages[1][0]
    x = torch.randn(4, 16, 16, 256)
    assert torch.equal(block(x), x)
    expanded = block.expand(x)
    assert float(expanded.var()) == pytest.approx(2 / 1.04 / math.sqrt(8), rel=0.05)
    # LeakyReLU halves (1 + slope^2) / 2 of the second moment, which the gain restores, so that
    # each layer multiplies it by L^(-1/2).
    activated = nn.functional.leaky_relu(expanded, 0.2)
    assert float(activated.square().mean()) == pytest.approx(1 / math.sqrt(8), rel=0.05)
    inside = block.grouped(activated.permute(0, 3, 1, 2))[:, :, 1:-1, 1:-1]  # away from padding
    activated = nn.functional.leaky_relu(inside, 0.2)
    assert float(activated.square().mean()) == pytest.approx(1 / 8, rel=0.1)


def test_signals_keep_their_variance_at_first() -> None:
    torch.manual_seed(0)
    generator, discriminator = initialised(R3GAN(width=256), ImageShape(32, 3))
    x = generator.input(torch.randn(200, 64))[:, None, None] * generator.basis
    assert float(x.square().mean()) == pytest.approx(1, rel=0.1)
    features = discriminator.input(torch.randn(50, 4, 4, 3))
    assert float(features.square().mean()) == pytest.approx(1, rel=0.2)
    summed = (torch.randn(200, 4, 4, 256) * discriminator.basis).sum(dim=(1, 2))
    assert float(summed.square().mean()) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("way", ["sequential", "stacked"])
def test_layers_that_start_at_zero_get_gradients(way: str) -> None:
    ensemble = make_discriminators("r3gan", 2, classes=3)
    ensemble.way = way
    images = torch.randn(4, 3, 16, 16)
    ensemble(images, labels=torch.tensor([0, 1, 2, 0])).sin().sum().backward()
    for name, parameter in ensemble.named_parameters():
        zero_behind = "expand" in name or "grouped" in name
        assert bool(parameter.grad.any()) is not zero_behind, name


# Layers


def filtered(images: Tensor) -> Tensor:
    """Return every pixel's weighted sum of its neighbours, as a loop."""
    taps = [1 / 8, 3 / 8, 3 / 8, 1 / 8]
    _, _, height, width = images.shape
    result = torch.zeros(*images.shape[:2], height // 2, width // 2, dtype=images.dtype)
    for y in range(height // 2):
        for x in range(width // 2):
            for i, a in enumerate(taps):
                for j, b in enumerate(taps):
                    row, column = 2 * y + i - 1, 2 * x + j - 1
                    if 0 <= row < height and 0 <= column < width:
                        result[:, :, y, x] += a * b * images[:, :, row, column]
    return result


def interpolated(images: Tensor) -> Tensor:
    """Return bilinear interpolation at quarter pixels with zeros outside, as a loop."""
    _, _, height, width = images.shape
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    result = torch.zeros(*images.shape[:2], 2 * height, 2 * width, dtype=images.dtype)
    for y in range(2 * height):
        for x in range(2 * width):
            rows = {y // 2 + 1: 0.75, y // 2 + (2 if y % 2 else 0): 0.25}
            columns = {x // 2 + 1: 0.75, x // 2 + (2 if x % 2 else 0): 0.25}
            for row, a in rows.items():
                for column, b in columns.items():
                    result[:, :, y, x] += a * b * padded[:, :, row, column]
    return result


def test_resampling_is_the_filter_as_a_loop() -> None:
    images = torch.randn(2, 3, 6, 4, dtype=torch.float64)
    torch.testing.assert_close(downsample(images), filtered(images))
    torch.testing.assert_close(upsample(images), interpolated(images))


def test_the_filter_is_the_product_of_its_factors() -> None:
    line = torch.nn.functional.conv1d(
        torch.tensor([[[0.0, 1.0, 1.0, 0.0]]]), torch.tensor([[[1.0, 2.0, 1.0]]]), padding=1
    )
    impulse = torch.zeros(1, 1, 6, 6)
    impulse[:, :, 3, 3] = 1.0
    assert torch.allclose(
        upsample(impulse)[0, 0, 5:9, 5:9], torch.outer(line[0, 0], line[0, 0]) / 16
    )


def test_resampling_keeps_a_constant_away_from_the_border() -> None:
    images = torch.ones(1, 2, 8, 8)
    assert torch.allclose(downsample(images)[:, :, 1:-1, 1:-1], torch.ones(1, 2, 2, 2))
    assert torch.allclose(upsample(images)[:, :, 1:-1, 1:-1], torch.ones(1, 2, 14, 14))


@pytest.mark.parametrize("resample", [upsample, downsample])
def test_derivatives_of_resampling(resample: Any) -> None:
    images = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    curved = lambda x: resample(x).sin()  # noqa: E731
    assert torch.autograd.gradcheck(curved, images)
    assert torch.autograd.gradgradcheck(curved, images)
    weights = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    stacked = torch.func.vmap(torch.func.grad(lambda x: resample(x[None]).sin().sum()))(weights)
    for mine, x in zip(stacked, weights, strict=True):
        theirs = torch.func.grad(lambda x: resample(x[None]).sin().sum())(x)
        torch.testing.assert_close(mine, theirs)


def explicit(discriminator: Discriminator, images: Tensor, labels: Tensor) -> Tensor:
    """Return the logits with convolutions for all layers, as the paper's figure draws them."""

    def one_by_one(layer: nn.Linear, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, layer.weight[:, :, None, None], layer.bias)

    x = one_by_one(discriminator.input, images)
    for number, stage in enumerate(discriminator.stages):
        for block in stage:
            y = nn.functional.leaky_relu(one_by_one(block.expand, x), 0.2)
            y = nn.functional.leaky_relu(block.grouped(y), 0.2)
            x = x + one_by_one(block.project, y)
        if number < len(discriminator.transitions):
            x = downsample(x)
            transition = discriminator.transitions[number]
            x = one_by_one(transition, x) if isinstance(transition, nn.Linear) else x
    depthwise = discriminator.basis.permute(2, 0, 1)[:, None]
    x = nn.functional.conv2d(x, depthwise, groups=len(depthwise)).flatten(1)
    return (x @ discriminator.output.weight.T * discriminator.embedding.weight[labels]).sum(dim=1)


def test_the_discriminator_is_that_of_convolutions() -> None:
    options = R3GAN(width=6, stages=(12, 8, 4))
    discriminator = options.discriminator(ImageShape(16, 3, classes=4)).double()
    for parameter in discriminator.parameters():
        nn.init.normal_(parameter, std=0.3)
    images, labels = torch.randn(5, 3, 16, 16, dtype=torch.float64), torch.tensor([0, 3, 1, 2, 2])
    expected = explicit(discriminator, images, labels)
    torch.testing.assert_close(discriminator(images, labels), expected)


def test_the_generator_upsamples_after_a_change_of_width() -> None:
    generator = R3GAN(stages=(4, 3, 2)).generator(ImageShape(16, 1), 5).double()
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.3)
    z = torch.randn(2, 5, dtype=torch.float64)
    x = torch.einsum("bl,cl,hwc->bchw", z, generator.input.weight, generator.basis)
    x = generator.stages[0](x.permute(0, 2, 3, 1))
    for number in (0, 1):
        x = interpolated((x @ generator.transitions[number].weight.T).permute(0, 3, 1, 2))
        x = generator.stages[number + 1](x.permute(0, 2, 3, 1))
    images = torch.einsum("bhwc,oc->bohw", x, generator.output.weight)
    torch.testing.assert_close(generator(z), images)


def test_norm_is_no_option_of_r3gan() -> None:
    generator, other = (make_generator("r3gan", norm=norm) for norm in ("batch", "none"))
    assert isinstance(generator, Generator)
    assert repr(generator) == repr(other)
    assert not list(generator.buffers())
