"""What an architecture is: its options, its two networks, their initialisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from d3gan.networks import ARCHITECTURES

if TYPE_CHECKING:
    from torch import nn

    from d3gan.rng import Stream


@dataclass(frozen=True)
class ImageShape:
    """The images that a generator makes and discriminators see."""

    resolution: int
    """Side, pixels."""
    channels: int
    """1 or 3 of real and generated images; a view may have others."""
    classes: int = 0
    """Number of classes of a conditional model; 0 for an unconditional one."""


class Architecture(Protocol):
    """An entry of `ARCHITECTURES`: a frozen dataclass whose fields are the options.

    Generators map z [B, latent_dim] and labels (int64 [B], or None) to images [B, C, H, W], whose
    values outside of [-1, 1] are clipped when images are stored or measured; discriminators map
    images and labels to logits [B].
    """

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Sides of the images, pixels, for which the networks are made; may depend on options."""

    def generator(self, images: ImageShape, latent_dim: int) -> nn.Module:
        """Return the generator, its weights not yet meaningful, on the CPU."""

    def discriminator(self, images: ImageShape) -> nn.Module:
        """Return one discriminator, its weights not yet meaningful, on the CPU."""

    def initialise(self, network: nn.Module, seed: int, stream: Stream, member: int) -> None:
        """Fill all parameters in place, as a function of the arguments alone.

        `stream` distinguishes generator and discriminators; `member` is the index of the latter.
        """


def build_architecture(text: str, defaults: Mapping[str, object]) -> Architecture:
    """Return the architecture that `text` names, for example ``"dcgan(activation='mish')"``.

    `defaults` are values for those of its options that the text does not give. Raises UserError.
    """
    return ARCHITECTURES.build(text, defaults)
