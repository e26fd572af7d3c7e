"""A trained generator: sample from it, call it, export it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from PIL import Image
from torch import Tensor, nn

from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.fields import check_draw
from d3gan.files import write_bytes, writing
from d3gan.images import Pictures, grid
from d3gan.training.export import onnx_bytes, safetensors_bytes
from d3gan.training.sampling import (
    class_grid,
    generate,
    interpolation,
    latents,
    random_labels,
    to_uint8,
)


@dataclass(frozen=True)
class TrainedGenerator:
    """A trained generator, which `d3gan.load` returns: in float32, at first on the CPU.

    Images are arrays uint8 [count, H, W, C], which Pillow and matplotlib show; C is 1 or 3. The
    call ``g(z)`` is the network itself: tensors in [-1, 1], with gradients.
    """

    config: Config
    """The configuration that it was trained with."""
    generator: nn.Module
    """The network: z [B, latent_dim], and labels [B] if it is conditional, -> [B, C, H, W]."""
    step: int
    """Number of steps that it was trained for."""
    classes: int = 0
    """Number of classes of a conditional generator; 0 for an unconditional one."""

    @property
    def ema(self) -> bool:
        """Whether the weights are a moving average (EMA)."""
        return self.config.ema_half_life > 0

    @property
    def latent_dim(self) -> int:
        """Length of the latents z."""
        return self.config.model.latent_dim

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.generator.parameters()).device

    def to(self, device: str | torch.device) -> Self:
        """Move the weights to a device, and return this generator."""
        self.generator.to(device)
        return self

    def __call__(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images in [-1, 1] with gradients with respect to `z`.

        Without a tanh, which R3GAN does not have, single pixels may lie outside of [-1, 1].

        Args:
            z: Latents [B, latent_dim], of any floating-point type and device; an array will do.
            labels: Classes int64 [B] of a conditional generator.

        Returns:
            Images float32 [B, C, H, W] on the generator's device.

        Raises:
            UserError: If a shape is wrong, or labels are missing or not asked for.
        """
        z = torch.as_tensor(z)
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise UserError(f"z is {list(z.shape)}: must be [B, {self.latent_dim}]")
        if (labels is None) != (not self.classes):
            needs = f"needs labels below {self.classes}" if self.classes else "takes no labels"
            raise UserError(f"labels = {labels}: the generator {needs}")
        inputs = [z.to(next(self.generator.parameters()))]
        if labels is not None:
            inputs.append(self._checked_labels(labels, len(z)).to(self.device))
        images: Tensor = self.generator(*inputs)
        return images

    def sample(
        self, count: int, seed: int = 0, label: int | Sequence[int] | None = None, first: int = 0
    ) -> Pictures:
        """Return images; the same arguments give the same images.

        Args:
            count: Number of images.
            seed: Name of an endless sequence of images.
            label: Class of all images, or one class per image, of a conditional generator; by
                default its classes are drawn uniformly.
            first: Number of the first image in the sequence, so that many images can be sampled
                part by part.

        Returns:
            Images uint8 [count, H, W, C].

        Raises:
            UserError: If the generator is unconditional and there is a label, or if a value is out
                of range.
        """
        labels = self.labels(count, seed, label, first)
        return self.images(self.latents(count, seed, first), labels)

    def latents(self, count: int, seed: int = 0, first: int = 0) -> Tensor:
        """Return the latents z, float64 [count, latent_dim], of the images that `sample` returns.

        Raises:
            UserError: If a value is out of range.
        """
        check_draw(count, seed)
        return latents(count, self.latent_dim, seed, first)

    def labels(
        self, count: int, seed: int = 0, label: int | Sequence[int] | None = None, first: int = 0
    ) -> Tensor | None:
        """Return the labels int64 [count] of the images of `sample`; None if there are no classes.

        Raises:
            UserError: As `sample`.
        """
        check_draw(count, seed)
        if label is None:
            return random_labels(count, self.classes, seed, first)
        if not self.classes:
            raise UserError(f"label = {label}: the generator is unconditional; leave the label out")
        return self._checked_labels(label, count)

    def _checked_labels(self, label: Tensor | int | Sequence[int], count: int) -> Tensor:
        """Return labels int64 [count]. Raises UserError."""
        labels = torch.as_tensor(label)
        if labels.is_floating_point() or labels.shape not in ((), (count,)):
            raise UserError(f"label = {label}: must be an integer, or {count} of them")
        if labels.min() < 0 or labels.max() >= self.classes:
            raise UserError(f"label = {label}: must be at least 0 and below {self.classes}")
        return labels.to(torch.int64).expand(count)

    def grid(self, count: int = 64, seed: int = 0) -> Image.Image:
        """Return a picture of about `count` images; a conditional generator has one row per class.

        Raises:
            UserError: If a value is out of range.
        """
        images, columns = self.sample_grid(count, seed)
        return grid(images.transpose(0, 3, 1, 2), columns)

    def sample_grid(self, count: int, seed: int = 0) -> tuple[Pictures, int | None]:
        """Return about `count` images for a grid, uint8 [M, H, W, C], and its number of columns.

        A conditional generator has one row per class; otherwise the columns are None (a square).
        """
        check_draw(count, seed)
        z, labels, columns = class_grid(count, self.latent_dim, self.classes, seed)
        return self.images(z, labels), columns

    def interpolate(self, rows: int, columns: int, seed: int = 0) -> Pictures:
        """Return images uint8 [rows * columns, H, W, C]; each row leads from one latent to another.

        A conditional generator has one class per row, in order.

        Raises:
            UserError: If a value is out of range.
        """
        ends = self.latents(2 * rows, seed).view(rows, 2, -1)
        walks = [walk for pair in ends for walk in interpolation(pair, columns)]
        labels = None
        if self.classes:
            labels = (torch.arange(rows) % self.classes).repeat_interleave(columns)
        return self.images(torch.cat(walks), labels)

    def images(self, z: Tensor, labels: Tensor | None = None) -> Pictures:
        """Return images uint8 [B, H, W, C] for latents z [B, latent_dim] and labels int64 [B].

        An image depends on its latent and label only, not on the others of the batch.
        """
        return to_uint8(generate(self.generator, z, labels)).transpose(0, 2, 3, 1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and configuration as .safetensors, or the network as .onnx.

        The ONNX network maps z [B, latent_dim], and labels int64 [B] if it is conditional, to
        images [B, C, H, W] in [-1, 1].

        Raises:
            UserError: For another ending of the name, and if the file cannot be written.
        """
        path = Path(path)
        if path.suffix not in (".safetensors", ".onnx"):
            raise UserError(f"cannot export to {path}; the name must end in .safetensors or .onnx")
        if path.suffix == ".onnx":
            content = onnx_bytes(self.generator, self.config.model.latent_dim, self.classes)
        else:
            content = safetensors_bytes(self.generator, self.config, self.step, self.classes)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content)
