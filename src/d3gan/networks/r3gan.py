"""R3GAN (Huang et al. 2024, "The GAN is dead; long live the GAN! A modern GAN baseline",
configuration E), for resolutions from 16 to 256.

Both networks are stages of residual blocks, one stage for each side 4, 8, ..., resolution, without
any normalisation. Inside, feature maps are channels-last [B, H, W, C], so that the 1x1 convolutions
that hold most weights are plain matrix products.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from d3gan.networks.architecture import ImageShape
from d3gan.networks.initialisation import fill_normal, parameters_in_order
from d3gan.networks.resampling import downsample, upsample
from d3gan.rng import Stream

RESOLUTIONS = (16, 32, 64, 128, 256)
SMALLEST = 4
"""Side of the smallest feature map, pixels."""
FULL_WIDTH = 32
"""Side up to which maps have the full width; it is halved for every doubling above."""
SLOPE = 0.2
"""Of LeakyReLU for negative numbers."""


@dataclass(frozen=True)
class R3GAN:
    """Options of the generator, or of a discriminator. There is no normalisation."""

    width: int = 768
    """Channels of feature maps up to 32 x 32; half as many at 64 x 64, a quarter at 128 x 128, and
    so on (the published networks: 768 at 32 px, 768 and 384 at 64 px, down to 96 at 256 px)."""
    stages: tuple[int, ...] = ()
    """Channels of each stage, from the smallest map to the largest, instead of those of `width`."""
    blocks: int = 2
    """Residual blocks of each stage."""
    expansion: int = 2
    """Channels inside a block, as a multiple of those outside."""
    group_size: int = 16
    """Channels of a group of the 3x3 convolutions, or their greatest common divisor with the
    channels inside the block."""

    def __post_init__(self) -> None:
        for name in ("width", "blocks", "expansion", "group_size"):
            if not 1 <= getattr(self, name) <= 10**6:
                raise ValueError(
                    f"{name} = {getattr(self, name)}: must be at least 1 and at most 1,000,000"
                )
        if not all(type(width) is int and 1 <= width <= 10**6 for width in self.stages):
            raise ValueError(
                f"stages = {self.stages!r}: must be integers of at least 1 and at most 1,000,000"
            )

    @property
    def resolutions(self) -> tuple[int, ...]:
        return (SMALLEST * 2 ** (len(self.stages) - 1),) if self.stages else RESOLUTIONS

    def generator(self, images: ImageShape, latent_dim: int) -> nn.Module:
        return Generator(self, images, latent_dim)

    def discriminator(self, images: ImageShape) -> nn.Module:
        return Discriminator(self, images)

    def initialise(self, network: nn.Module, seed: int, stream: Stream, member: int) -> None:
        """Fill weights with N(0, gain^2 / fan_in), biases and weights of gain 0 with zeros."""
        gains = _gains(network)
        for position, (module, parameter, name) in enumerate(parameters_in_order(network)):
            gain = gains.get(module, 1.0)
            if name == "bias" or gain == 0.0:
                nn.init.zeros_(parameter)
            else:
                std = gain / math.sqrt(_fan_in(module, parameter))
                fill_normal(parameter, seed, stream, member * 1000 + position, std=std)

    def widths(self, resolution: int) -> tuple[int, ...]:
        """Return the channels of each stage, from the smallest map to the largest.

        Raises ValueError if `stages` has another number of stages.
        """
        count = int(math.log2(resolution // SMALLEST)) + 1
        if not self.stages:
            sides = [SMALLEST * 2**stage for stage in range(count)]
            return tuple(max(1, self.width * FULL_WIDTH // max(side, FULL_WIDTH)) for side in sides)
        if len(self.stages) != count:
            raise ValueError(
                f"stages = {self.stages!r}: {resolution} x {resolution} images need {count}, for "
                f"maps from {SMALLEST} x {SMALLEST} on"
            )
        return tuple(self.stages)


def _gains(network: nn.Module) -> dict[nn.Module, float]:
    """Return the gains of the layers whose gain is not 1.

    In a block, LeakyReLU's sqrt(2 / (1 + slope^2)) (He et al. 2015) times L^(-1 / (2m - 2)) for L
    blocks of m = 3 layers, and zero in the last of them: Zhang, Dauphin and Ma 2019, "Fixup
    initialization", which keeps the variance of the first update independent of the depth.
    """
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    gain = math.sqrt(2 / (1 + SLOPE**2)) * len(blocks) ** -0.25
    gains: dict[nn.Module, float] = {}
    for block in blocks:
        gains |= {block.expand: gain, block.grouped: gain, block.project: 0.0}
    if isinstance(network, Discriminator) and network.embedding is not None:
        gains[network.embedding] = 1 / math.sqrt(network.embedding.embedding_dim)
    return gains


def _fan_in(module: nn.Module, weight: Tensor) -> int:
    """Return the number of products of weights and inputs that make one output."""
    if isinstance(module, nn.Embedding):
        return len(weight)  # it multiplies a vector with a one at the label
    if isinstance(module, Generator):
        return 1  # the basis multiplies each channel
    if isinstance(module, Discriminator):
        return SMALLEST**2  # the basis sums over positions
    return weight[0].numel()


class Block(nn.Module):
    """A residual block [B, H, W, C] -> [B, H, W, C] with its nonlinearities inside.

    1x1 convolution to `expansion` times the channels, bias, LeakyReLU, grouped 3x3 convolution,
    bias, LeakyReLU, 1x1 convolution back.
    """

    def __init__(self, options: R3GAN, channels: int) -> None:
        super().__init__()
        inside = channels * options.expansion
        groups = inside // math.gcd(inside, options.group_size)
        self.expand = nn.Linear(channels, inside)
        self.grouped = nn.Conv2d(inside, inside, 3, padding=1, groups=groups)
        self.project = nn.Linear(inside, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inside = functional.leaky_relu(self.expand(x), SLOPE)
        inside = functional.leaky_relu(self.grouped(inside.permute(0, 3, 1, 2)), SLOPE)
        return x + self.project(inside.permute(0, 2, 3, 1))  # type: ignore[no-any-return]


class Generator(nn.Module):
    """z [B, latent_dim] -> images [B, C, H, W], not bounded: there is no tanh.

    A linear layer of z, joined with an embedding of the label of the same length if it is
    conditional, scales a learned basis of 4 x 4 maps.
    """

    def __init__(self, options: R3GAN, images: ImageShape, latent_dim: int) -> None:
        super().__init__()
        widths = options.widths(images.resolution)
        self.embedding = nn.Embedding(images.classes, latent_dim) if images.classes else None
        inputs = 2 * latent_dim if images.classes else latent_dim
        self.input = nn.Linear(inputs, widths[0], bias=False)
        self.basis = nn.Parameter(torch.empty(SMALLEST, SMALLEST, widths[0]))
        self.transitions = nn.ModuleList(_transition(*pair) for pair in pairwise(widths))
        self.stages = nn.ModuleList(_stage(options, width) for width in widths)
        self.output = nn.Linear(widths[-1], images.channels, bias=False)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(labels)], dim=1)
        x = self.stages[0](self.input(z)[:, None, None] * self.basis)
        for transition, stage in zip(self.transitions, self.stages[1:], strict=True):
            x = transition(x).permute(0, 3, 1, 2)
            x = stage(upsample(x).permute(0, 2, 3, 1))
        return self.output(x).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


class Discriminator(nn.Module):
    """Images [B, C, H, W] -> logits [B]: the generator mirrored.

    A learned basis of 4 x 4 maps sums each channel over positions. A conditional discriminator
    takes the inner product of a linear layer of these sums with the label's embedding.
    """

    joins_batches = True
    """See `networks.ensemble.joins_batches`."""

    def __init__(self, options: R3GAN, images: ImageShape) -> None:
        super().__init__()
        widths = options.widths(images.resolution)[::-1]
        self.input = nn.Linear(images.channels, widths[0], bias=False)
        self.stages = nn.ModuleList(_stage(options, width) for width in widths)
        self.transitions = nn.ModuleList(_transition(*pair) for pair in pairwise(widths))
        self.basis = nn.Parameter(torch.empty(SMALLEST, SMALLEST, widths[-1]))
        self.output = nn.Linear(widths[-1], widths[-1] if images.classes else 1, bias=False)
        self.embedding = nn.Embedding(images.classes, widths[-1]) if images.classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.input(images.permute(0, 2, 3, 1))
        for stage, transition in zip(self.stages, self.transitions, strict=False):
            x = downsample(stage(x).permute(0, 3, 1, 2))
            x = transition(x.permute(0, 2, 3, 1))
        x = self.stages[-1](x)
        features = self.output((x * self.basis).sum(dim=(1, 2)))
        if self.embedding is not None:
            features = features * self.embedding(labels)
        return features.sum(dim=1)  # type: ignore[no-any-return]


def _stage(options: R3GAN, channels: int) -> nn.Sequential:
    return nn.Sequential(*(Block(options, channels) for _ in range(options.blocks)))


def _transition(before: int, after: int) -> nn.Module:
    """Return a 1x1 convolution if the number of channels changes."""
    return nn.Linear(before, after, bias=False) if before != after else nn.Identity()
