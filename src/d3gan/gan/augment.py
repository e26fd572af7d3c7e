"""Differentiable augmentation of real and generated images.

Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training" (DiffAugment):
the same policy is applied to real and generated images, in the steps of both players. Random
numbers are drawn outside, one row per image, so that they depend on the image's global index only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from d3gan.lazy import functional, torch
from d3gan.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


class Augmentation:
    """A differentiable transformation of images in [-1, 1]."""

    draws: ClassVar[int]
    """Random numbers needed per image."""

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Transform images [B, C, H, W] by `uniform` [B, draws], random on (0, 1)."""
        raise NotImplementedError


AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation", Augmentation)


def augment(
    policy: Sequence[Augmentation],
    images: Tensor,
    uniform: Tensor | None,
    chosen: Tensor | None = None,
) -> Tensor:
    """Apply all augmentations in order to images [B, C, H, W].

    `uniform` [B, total draws] is random on (0, 1); it may be None for an empty policy. `chosen`
    bool [B, augmentations] says which of them change which image; None: all change every image.
    """
    if not policy:
        return images
    assert uniform is not None
    columns = uniform.to(images.dtype).split([each.draws for each in policy], dim=1)
    for place, (augmentation, numbers) in enumerate(zip(policy, columns, strict=True)):
        changed = augmentation(images, numbers)
        if chosen is not None:
            changed = torch.where(chosen[:, place, None, None, None], changed, images)
        images = changed
    return images


@AUGMENTATIONS.register("color")
@dataclass(frozen=True)
class Color(Augmentation):
    """Brightness + U(-0.5, 0.5), saturation * U(0, 2), contrast * U(0.5, 1.5), as DiffAugment."""

    draws: ClassVar[int] = 3

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        brightness, saturation, contrast = uniform[:, :, None, None, None].unbind(dim=1)
        images = images + (brightness - 0.5)
        mean = images.mean(dim=1, keepdim=True)
        images = (images - mean) * (2 * saturation) + mean
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return (images - mean) * (contrast + 0.5) + mean


@AUGMENTATIONS.register("translation")
@dataclass(frozen=True)
class Translation(Augmentation):
    """Shift by whole pixels within +-round(ratio * side) in each direction, filled with zeros."""

    draws: ClassVar[int] = 2
    ratio: float = 0.125

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ValueError(f"ratio = {self.ratio}: must be above 0 and at most 1")

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        height, width = images.shape[2:]
        down, right = (
            _integer(u, 2 * int(self.ratio * side + 0.5) + 1) - int(self.ratio * side + 0.5)
            for u, side in zip(uniform.unbind(dim=1), (height, width), strict=True)
        )
        # Index 0 is a margin of zeros, into which everything from outside is clamped.
        padded = functional.pad(images, (1, 1, 1, 1))
        rows = _range(height, images) - down[:, None] + 1
        columns = _range(width, images) - right[:, None] + 1
        rows, columns = rows.clamp(0, height + 1), columns.clamp(0, width + 1)
        each = _range(len(images), images)[:, None, None]
        shifted = padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]]
        return shifted.permute(0, 3, 1, 2)


@AUGMENTATIONS.register("cutout")
@dataclass(frozen=True)
class Cutout(Augmentation):
    """Set a square of side round(ratio * side) to zero; its centre is uniform, it is clipped."""

    draws: ClassVar[int] = 2
    ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ValueError(f"ratio = {self.ratio}: must be above 0 and at most 1")

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        covered = []
        for u, side in zip(uniform.unbind(dim=1), images.shape[2:], strict=True):
            size = int(self.ratio * side + 0.5)
            first = (_integer(u, side + (1 - size % 2)) - size // 2)[:, None]
            position = _range(side, images)
            covered.append((position >= first) & (position < first + size))
        rows, columns = covered
        hole = rows[:, None, :, None] & columns[:, None, None, :]
        return images.masked_fill(hole, 0.0)


def _integer(uniform: Tensor, count: int) -> Tensor:
    """Return integers 0..count-1, equally likely, from numbers on (0, 1)."""
    return (uniform * count).long().clamp(max=count - 1)


def _range(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, device=like.device)
