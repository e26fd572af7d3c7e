"""DCGAN (Radford, Metz and Chintala 2016, "Unsupervised representation learning with deep
convolutional generative adversarial networks"), for resolutions from 16 to 128.

Four stages of stride 2 up to 64 x 64, one more at 128 x 128. The number of channels doubles from
`width` at the image to width * 2^(stages - 1) at the smallest map, whose side is resolution /
2^stages: 1, 2, 4, 4 for 16, 32, 64, 128.
"""

import math
from itertools import pairwise

from torch import Tensor, nn

from d3gan.networks.norms import make_norm

RESOLUTIONS = (16, 32, 64, 128)


def _channels(resolution: int, width: int) -> list[int]:
    """Channels of the feature maps, from the smallest map to the largest."""
    stages = max(4, int(math.log2(resolution)) - 2)
    return [width * 2**stage for stage in reversed(range(stages))]


class Generator(nn.Module):
    """z [B, latent_dim] -> images [B, channels, resolution, resolution] in [-1, 1]."""

    def __init__(
        self, resolution: int, channels: int, latent_dim: int, width: int, norm: str
    ) -> None:
        super().__init__()
        maps = _channels(resolution, width)
        bias = norm == "none"  # a norm subtracts any bias again

        def normed(convolution: nn.Module, out: int) -> list[nn.Module]:
            layer = make_norm(norm, out, running_statistics=True)
            return [convolution, layer, nn.ReLU(inplace=True)]

        base = resolution // 2 ** len(maps)
        layers = normed(nn.ConvTranspose2d(latent_dim, maps[0], base, bias=bias), maps[0])
        for before, after in pairwise(maps):
            layers += normed(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=bias), after)
        layers += [nn.ConvTranspose2d(maps[-1], channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.layers(z[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """Images [B, channels, resolution, resolution] -> logits [B]. Has no running statistics."""

    def __init__(self, resolution: int, channels: int, width: int, norm: str) -> None:
        super().__init__()
        maps = _channels(resolution, width)[::-1]
        bias = norm == "none"
        layers: list[nn.Module] = [
            nn.Conv2d(channels, maps[0], 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for before, after in pairwise(maps):
            layers += [
                nn.Conv2d(before, after, 4, 2, 1, bias=bias),
                make_norm(norm, after, running_statistics=False),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        layers.append(nn.Conv2d(maps[-1], 1, resolution // 2 ** len(maps), bias=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits.flatten()
