"""Images from a generator, as a function of a seed."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from d3gan.images import Images
from d3gan.rng import Stream, normal, uniform

BATCH = 64


def latents(count: int, latent_dim: int, seed: int, first: int = 0) -> Tensor:
    """Return z [count, latent_dim], float64: numbers `first` and on of the sequence of `seed`."""
    return normal(seed, Stream.SAMPLE, 0, torch.arange(first, first + count), latent_dim)


def random_labels(count: int, classes: int, seed: int, first: int = 0) -> Tensor | None:
    """Return labels int64 [count], uniform over the classes; None if there are no classes."""
    if not classes:
        return None
    draws = uniform(seed, Stream.LABELS, 0, torch.arange(first, first + count), 1)[:, 0]
    return (draws * classes).long().clamp(max=classes - 1)


def class_grid(
    count: int, latent_dim: int, classes: int, seed: int
) -> tuple[Tensor, Tensor | None, int | None]:
    """Return latents, labels and the number of columns of a sample grid of about `count` images.

    A conditional model has one row per class, with the same latents in every row; an unconditional
    one has `count` images in a square.
    """
    if not classes:
        return latents(count, latent_dim, seed), None, None
    columns = max(1, count // classes)
    z = latents(columns, latent_dim, seed).repeat(classes, 1)
    return z, torch.arange(classes).repeat_interleave(columns), columns


def sample_images(
    generator: nn.Module, count: int, latent_dim: int, classes: int, seed: int
) -> tuple[Images, int | None]:
    """Return about `count` images uint8 [M, C, H, W], and the columns of their grid."""
    z, labels, columns = class_grid(count, latent_dim, classes, seed)
    return to_uint8(generate(generator, z, labels)), columns


@torch.no_grad()
def generate(generator: nn.Module, z: Tensor, labels: Tensor | None = None) -> Tensor:
    """Return images [M, C, H, W] in [-1, 1] on the CPU for z [M, latent] and labels int64 [M].

    Running statistics are used. All batches have the same size, and the last one is padded,
    because rounding depends on the size: an image depends on its latent and label only.
    """
    parameter = next(generator.parameters())
    training = generator.training
    generator.eval()
    padding = -len(z) % BATCH
    inputs = [torch.cat([z, z.new_zeros(padding, z.shape[1])]).to(parameter)]
    if labels is not None:
        padded = torch.cat([labels, labels.new_zeros(padding)])
        inputs.append(padded.to(parameter.device))
    try:
        parts = zip(*(x.split(BATCH) for x in inputs), strict=True)
        batches = [generator(*part).float().cpu() for part in parts]
    finally:
        generator.train(training)
    return torch.cat(batches)[: len(z)]


def to_uint8(images: Tensor) -> Images:
    """Return images in [-1, 1] as 0..255, rounded to nearest."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


def interpolation(corners: Tensor, steps: int) -> Iterator[Tensor]:
    """Yield z [steps, latent] between each z of `corners` and the next, along great circles."""
    share = torch.from_numpy(np.linspace(0.0, 1.0, steps)).to(corners)
    for a, b in pairwise(corners):
        yield spherical(a, b, share)


def spherical(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Return z [S, latent] between a and b [latent] at each share [S] of the way, from 0 to 1.

    White 2016, "Sampling generative networks": a straight line between two latents leaves the
    shell on which the normal distribution concentrates; spherical interpolation stays on it.
    """
    share = share[:, None]
    cosine = torch.dot(a, b) / (a.norm() * b.norm())
    angle = torch.acos(cosine.clamp(-1, 1))
    if torch.sin(angle) < 1e-6:  # the same or opposite directions, which have no great circle
        return (1 - share) * a + share * b
    return (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)
