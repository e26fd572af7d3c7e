"""Generators and discriminators. A new architecture is one file and one line here."""

from typing import TYPE_CHECKING

from d3gan.registry import Registry

if TYPE_CHECKING:
    from d3gan.networks.architecture import Architecture

ARCHITECTURES: "Registry[Architecture]" = Registry(
    "architecture",
    "d3gan.networks.architecture:Architecture",
    {
        "dcgan": "d3gan.networks.dcgan:DCGAN",
        "r3gan": "d3gan.networks.r3gan:R3GAN",
        "sngan": "d3gan.networks.sngan:SNGAN",
    },
)
"""Architectures by name, imported when they are built."""
