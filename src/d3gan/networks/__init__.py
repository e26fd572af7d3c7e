"""Generators and discriminators. A new architecture is one file and one line in the table here."""

from typing import NamedTuple

from torch import nn

from d3gan.networks import dcgan
from d3gan.networks.ensemble import Ensemble
from d3gan.networks.initialisation import initialise
from d3gan.rng import Stream


class Architecture(NamedTuple):
    """The two networks of an architecture, and the resolutions that they are made for."""

    generator: type[nn.Module]
    discriminator: type[nn.Module]
    resolutions: tuple[int, ...]


ARCHITECTURES = {
    "dcgan": Architecture(dcgan.Generator, dcgan.Discriminator, dcgan.RESOLUTIONS),
}


def build_generator(
    architecture: str,
    *,
    resolution: int,
    channels: int,
    latent_dim: int,
    width: int,
    norm: str,
    seed: int,
) -> nn.Module:
    """A freshly initialised generator: z [B, latent_dim] -> images [B, C, H, W] in [-1, 1]."""
    make = ARCHITECTURES[architecture].generator
    generator = make(resolution, channels, latent_dim, width, norm)
    initialise(generator, seed, Stream.GENERATOR_WEIGHTS)
    return generator


def build_discriminators(
    architecture: str,
    count: int,
    *,
    first: int = 0,
    resolution: int,
    channels: int,
    width: int,
    norm: str,
    seed: int,
) -> Ensemble:
    """`count` freshly initialised discriminators: images [B, C, H, W] -> logits [count, B].

    `first` is the number of the first one among all, from which the weights are drawn.
    """
    make = ARCHITECTURES[architecture].discriminator
    members = [make(resolution, channels, width, norm) for _ in range(count)]
    for number, network in enumerate(members, first):
        initialise(network, seed, Stream.DISCRIMINATOR_WEIGHTS, number)
    return Ensemble(members)
