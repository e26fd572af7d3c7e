"""DCGAN (Radford, Metz and Chintala 2016, "Unsupervised representation learning with deep
convolutional generative adversarial networks"), for resolutions from 16 to 128.

There are four stages of stride 2 up to 64 x 64, one more at 128 x 128, unless the option `stages`
says otherwise. The number of channels doubles from `width` at the image to width * 2^(stages - 1)
at the smallest map, whose side is resolution / 2^stages: 1, 2, 4, 4 for 16, 32, 64, 128.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from d3gan.networks.architecture import ImageShape
from d3gan.networks.initialisation import fill_normal, parameters_in_order
from d3gan.networks.norms import NORMS, make_norm
from d3gan.rng import Stream

RESOLUTIONS = (16, 32, 64, 128)
MOST_STAGES = 7
ACTIVATIONS = {"relu": nn.ReLU, "mish": nn.Mish}
STANDARD_DEVIATION = 0.02
"""Radford et al. 2016, section 4: weights N(0, 0.02^2); batch norm's scale N(1, 0.02^2)."""


@dataclass(frozen=True)
class DCGAN:
    """Options of the generator, or of a discriminator."""

    width: int = 64
    """Channels of the layer at the image."""
    norm: str = "batch"
    """Normalisation: batch, sync, group or none."""
    activation: Literal["relu", "mish"] = "relu"
    """relu: ReLU in the generator, LeakyReLU in discriminators (the paper); mish: Mish in both. The
    succeeded project has Mish in the generator of its dual model only."""
    stages: int = 0
    """Number of stages of stride 2, which is the depth of the network; 0: by the resolution."""

    def __post_init__(self) -> None:
        if not 1 <= self.width <= 10**6:
            raise ValueError(f"width = {self.width}: must be at least 1 and at most 1,000,000")
        if not 0 <= self.stages <= MOST_STAGES:
            raise ValueError(
                f"stages = {self.stages}: must be at least 0 and at most {MOST_STAGES}"
            )
        for name, allowed in (("norm", NORMS), ("activation", tuple(ACTIVATIONS))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} = {getattr(self, name)!r}: allowed: {', '.join(allowed)}")

    @property
    def resolutions(self) -> tuple[int, ...]:
        if not self.stages:
            return RESOLUTIONS
        return tuple(side for side in (4, 8, *RESOLUTIONS) if side >= 2**self.stages)

    def generator(self, images: ImageShape, latent_dim: int) -> nn.Module:
        return Generator(self, images, latent_dim)

    def discriminator(self, images: ImageShape) -> nn.Module:
        return Discriminator(self, images)

    def initialise(self, network: nn.Module, seed: int, stream: Stream, member: int) -> None:
        for position, (module, parameter, name) in enumerate(parameters_in_order(network)):
            if name == "bias":
                nn.init.zeros_(parameter)
            elif isinstance(module, nn.GroupNorm):
                nn.init.ones_(parameter)
            else:
                mean = 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0
                step = member * 1000 + position
                fill_normal(parameter, seed, stream, step, std=STANDARD_DEVIATION, mean=mean)


def _channels(options: DCGAN, resolution: int) -> list[int]:
    """Return the channels of the feature maps, from the smallest map to the largest."""
    stages = options.stages or max(4, int(math.log2(resolution)) - 2)
    return [options.width * 2**stage for stage in reversed(range(stages))]


class Generator(nn.Module):
    """z [B, latent_dim] -> images [B, C, H, W] in [-1, 1].

    A conditional generator joins z with an embedding of the label, of the same length (Mirza and
    Osindero 2014, "Conditional generative adversarial nets").
    """

    def __init__(self, options: DCGAN, images: ImageShape, latent_dim: int) -> None:
        super().__init__()
        maps = _channels(options, images.resolution)
        bias = options.norm == "none"  # a norm cancels any bias

        def normed(convolution: nn.Module, out: int) -> list[nn.Module]:
            layer = make_norm(options.norm, out, running_statistics=True)
            return [convolution, layer, ACTIVATIONS[options.activation](inplace=True)]

        base = images.resolution // 2 ** len(maps)
        inputs = 2 * latent_dim if images.classes else latent_dim
        layers = normed(nn.ConvTranspose2d(inputs, maps[0], base, bias=bias), maps[0])
        for before, after in pairwise(maps):
            layers += normed(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=bias), after)
        layers += [nn.ConvTranspose2d(maps[-1], images.channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.embedding = nn.Embedding(images.classes, latent_dim) if images.classes else None

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(labels)], dim=1)
        images: Tensor = self.layers(z[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """Images [B, C, H, W] -> logits [B]. It has no running statistics.

    A conditional discriminator adds the inner product of the label's embedding and the features
    before the last layer, summed over positions (Miyato and Koyama 2018, "cGANs with projection
    discriminator", equation 5).
    """

    joins_batches = True
    """See `networks.ensemble.joins_batches`."""

    def __init__(self, options: DCGAN, images: ImageShape) -> None:
        super().__init__()
        maps = _channels(options, images.resolution)[::-1]
        bias = options.norm == "none"

        def activation() -> nn.Module:
            if options.activation == "mish":
                return nn.Mish(inplace=True)
            return nn.LeakyReLU(0.2, inplace=True)

        layers: list[nn.Module] = [
            nn.Conv2d(images.channels, maps[0], 4, 2, 1, bias=False),
            activation(),
        ]
        for before, after in pairwise(maps):
            layers += [
                nn.Conv2d(before, after, 4, 2, 1, bias=bias),
                make_norm(options.norm, after, running_statistics=False),
                activation(),
            ]
        layers.append(nn.Conv2d(maps[-1], 1, images.resolution // 2 ** len(maps), bias=False))
        self.layers = nn.Sequential(*layers)
        self.embedding = nn.Embedding(images.classes, maps[-1]) if images.classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.embedding is None:
            logits: Tensor = self.layers(images).flatten()
            return logits
        features = self.layers[:-1](images)
        projection = (self.embedding(labels) * features.sum(dim=(2, 3))).sum(dim=1)
        return self.layers[-1](features).flatten() + projection  # type: ignore[no-any-return]
