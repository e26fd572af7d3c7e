"""Images from a generator, as a function of a seed."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from d3gan.images import Images
from d3gan.rng import Stream, normal

BATCH = 64


def latents(count: int, latent_dim: int, seed: int, first: int = 0) -> Tensor:
    """z [count, latent_dim], float64: from number `first` of the endless list that `seed` names."""
    return normal(seed, Stream.SAMPLE, 0, torch.arange(first, first + count), latent_dim)


@torch.no_grad()
def generate(generator: nn.Module, z: Tensor) -> Tensor:
    """Images [M, C, H, W] in [-1, 1] on the CPU for z [M, latent], with running statistics.

    Batches always have the same size, the last one filled up, because rounding depends on it: so
    an image depends on its latent alone, to the last bit.
    """
    parameter = next(generator.parameters())
    training = generator.training
    generator.eval()
    try:
        filled = torch.cat([z, z.new_zeros(-len(z) % BATCH, z.shape[1])])
        batches = [generator(part.to(parameter)).float().cpu() for part in filled.split(BATCH)]
    finally:
        generator.train(training)
    return torch.cat(batches)[: len(z)]


def to_uint8(images: Tensor) -> Images:
    """[-1, 1] to 0..255, rounded to nearest."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


def interpolation(corners: Tensor, steps: int) -> Iterator[Tensor]:
    """z [steps, latent] between each z of `corners` and the next, along great circles.

    White 2016, "Sampling generative networks": a straight line between two latents leaves the
    shell on which the normal distribution lives; spherical interpolation stays on it.
    """
    share = torch.from_numpy(np.linspace(0.0, 1.0, steps))[:, None].to(corners)
    for a, b in pairwise(corners):
        cosine = torch.dot(a, b) / (a.norm() * b.norm())
        angle = torch.acos(cosine.clamp(-1, 1))
        yield (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)
