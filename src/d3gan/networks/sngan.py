"""Residual SNGAN (Miyato et al. 2018, "Spectral normalization for generative adversarial networks",
tables 4 and 5; conditional: Miyato and Koyama 2018, "cGANs with projection discriminator"), for
resolutions of 32, 64 and 128, and of 16 with one block less in the generator.

The papers' networks have at 32 x 32 a width of 256 (generator) and 128 (discriminator), the same in
all blocks, and at 64 and 128 a width of 64 at the image, which doubles with every block to 1024.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from d3gan.networks.architecture import ImageShape
from d3gan.networks.initialisation import fill_normal, fill_xavier, parameters_in_order
from d3gan.networks.norms import NORMS, ConditionalNorm, make_norm
from d3gan.networks.spectral_norm import (
    SpectralConv2d,
    SpectralEmbedding,
    SpectralLinear,
    initialise_vectors,
)
from d3gan.rng import Stream

BASE = 4
"""Side of the generator's first map."""

GENERATOR = {
    16: (1, 1, 1),
    32: (1, 1, 1, 1),
    64: (16, 8, 4, 2, 1),
    128: (16, 16, 8, 4, 2, 1),
}
"""Channels of the generator's maps by resolution, from 4 x 4 to the image, in units of `width`."""

DISCRIMINATOR = {
    16: (1, 1, 1, 1),
    32: (1, 1, 1, 1),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
}
"""Output channels of a discriminator's blocks, from the image on, in units of `width`."""

HALVING = {16: 2, 32: 2, 64: 5, 128: 5}
"""Number of a discriminator's blocks, the first ones, that halve the resolution."""

SCALE_DEVIATION = 0.02
"""Standard deviation of the initial scales, about 1, of a conditional norm: with equal scales the
generator could not distinguish classes before its first update."""


@dataclass(frozen=True)
class SNGAN:
    """Options of the generator, or of a discriminator."""

    width: int = 64
    """Channels of the layer at the image."""
    norm: str = "batch"
    """Normalisation of the generator: batch, sync, group or none. Without effect on discriminators,
    which have spectral normalisation only."""

    resolutions: ClassVar[tuple[int, ...]] = tuple(GENERATOR)

    def __post_init__(self) -> None:
        if not 1 <= self.width <= 10**6:
            raise ValueError(f"width = {self.width}: must be at least 1 and at most 1,000,000")
        if self.norm not in NORMS:
            raise ValueError(f"norm = {self.norm!r}: allowed: {', '.join(NORMS)}")

    def generator(self, images: ImageShape, latent_dim: int) -> nn.Module:
        return Generator(self, images, latent_dim)

    def discriminator(self, images: ImageShape) -> nn.Module:
        return Discriminator(self, images)

    def initialise(self, network: nn.Module, seed: int, stream: Stream, member: int) -> None:
        """Xavier's uniform weights, of gain sqrt(2) in residual paths and 1 elsewhere."""
        residual = {
            id(layer)
            for block in network.modules()
            if isinstance(block, UpBlock | Block)
            for layer in (block.first, block.second)
        }
        position = 0
        for position, (module, parameter, name) in enumerate(parameters_in_order(network)):
            step = member * 1000 + position
            if name in ("bias", "shift"):
                nn.init.zeros_(parameter)
            elif isinstance(module, ConditionalNorm):
                fill_normal(parameter, seed, stream, step, std=SCALE_DEVIATION, mean=1.0)
            elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
                nn.init.ones_(parameter)
            else:
                gain = math.sqrt(2) if id(module) in residual else 1.0
                fill_xavier(parameter, seed, stream, step, gain=gain)
        initialise_vectors(network, seed, stream, member * 1000 + position + 1)


class UpsampledConv2d(nn.Conv2d):
    """A convolution of images that are upsampled by repeating every pixel."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(functional.interpolate(input, scale_factor=2))


class PooledConv2d(SpectralConv2d):
    """A convolution with spectral normalisation, followed by the mean over 2 x 2 pixels."""

    def forward(self, input: Tensor) -> Tensor:
        return functional.avg_pool2d(super().forward(input), 2)


class UpBlock(nn.Module):
    """Maps [B, inputs, H, W] and labels -> [B, outputs, 2 H, 2 W]: the generator's block.

    The paper's 1 x 1 convolution of the upsampled shortcut is computed before upsampling, which
    gives the same and costs a quarter.
    """

    def __init__(self, norm: str, inputs: int, outputs: int, classes: int) -> None:
        super().__init__()
        self.norm_first = _norm(norm, inputs, classes)
        self.first = UpsampledConv2d(inputs, outputs, 3, padding=1)
        self.norm_second = _norm(norm, outputs, classes)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        h = functional.relu(_normalised(self.norm_first, x, labels))
        h = functional.relu(_normalised(self.norm_second, self.first(h), labels))
        shortcut = functional.interpolate(self.shortcut(x), scale_factor=2)
        return torch.add(self.second(h), shortcut)


def _norm(norm: str, channels: int, classes: int) -> nn.Module:
    if classes:
        return ConditionalNorm(norm, channels, classes)
    return make_norm(norm, channels, running_statistics=True)


def _normalised(norm: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
    out: Tensor = norm(x) if labels is None else norm(x, labels)
    return out


class Generator(nn.Module):
    """z [B, latent_dim] -> images [B, C, H, W] in [-1, 1].

    A conditional generator has conditional norms in its blocks (Dumoulin et al. 2017, "A learned
    representation for artistic style").
    """

    def __init__(self, options: SNGAN, images: ImageShape, latent_dim: int) -> None:
        super().__init__()
        maps = [options.width * times for times in GENERATOR[images.resolution]]
        self.base = nn.Linear(latent_dim, maps[0] * BASE**2)
        self.blocks = nn.ModuleList(
            UpBlock(options.norm, inputs, outputs, images.classes)
            for inputs, outputs in pairwise(maps)
        )
        self.norm = make_norm(options.norm, maps[-1], running_statistics=True)
        self.last = nn.Conv2d(maps[-1], images.channels, 3, padding=1)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.base(z).view(len(z), -1, BASE, BASE)
        for block in self.blocks:
            x = block(x, labels)
        return torch.tanh(self.last(functional.relu(self.norm(x))))


class Block(nn.Module):
    """Maps [B, inputs, H, W] -> [B, outputs, H, W], or half the sides: a discriminator's block.

    The `first` block of a discriminator has no activation before its first convolution. Where the
    shortcut has a convolution, it follows the pooling, which gives the same as the paper's reverse
    order and costs a quarter.
    """

    def __init__(self, inputs: int, outputs: int, *, halve: bool, first: bool) -> None:
        super().__init__()
        hidden = outputs if first else inputs
        self.halve, self.activate = halve, not first
        self.first = SpectralConv2d(inputs, hidden, 3, padding=1)
        second = PooledConv2d if halve else SpectralConv2d
        self.second = second(hidden, outputs, 3, padding=1)
        changes = halve or inputs != outputs
        self.shortcut = SpectralConv2d(inputs, outputs, 1) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(functional.relu(x) if self.activate else x)
        h = self.second(functional.relu(h))
        if self.halve:
            x = functional.avg_pool2d(x, 2)
        return torch.add(h, self.shortcut(x))


class Discriminator(nn.Module):
    """Images [B, C, H, W] -> logits [B]. Its buffers are those of spectral normalisation.

    A conditional discriminator adds the inner product of the label's embedding and the features
    (Miyato and Koyama 2018, equation 5).
    """

    def __init__(self, options: SNGAN, images: ImageShape) -> None:
        super().__init__()
        resolution = images.resolution
        maps = [images.channels] + [options.width * times for times in DISCRIMINATOR[resolution]]
        self.blocks = nn.Sequential(
            *(
                Block(inputs, outputs, halve=place < HALVING[resolution], first=place == 0)
                for place, (inputs, outputs) in enumerate(pairwise(maps))
            )
        )
        self.last = SpectralLinear(maps[-1], 1)
        self.embedding = SpectralEmbedding(images.classes, maps[-1]) if images.classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        features = functional.relu(self.blocks(images)).sum(dim=(2, 3))
        logits: Tensor = self.last(features).flatten()
        if self.embedding is None:
            return logits
        return torch.add(logits, (self.embedding(labels) * features).sum(dim=1))
