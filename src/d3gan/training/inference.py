"""A trained generator: load it, sample from it, export it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor, nn

from d3gan.config import Config, plugin_values
from d3gan.config_files import load_file
from d3gan.errors import UserError
from d3gan.fields import check_draw
from d3gan.files import write_bytes, writing
from d3gan.hub import EXPORT, HubModel, hub_model
from d3gan.images import Pictures, grid
from d3gan.messages import warn
from d3gan.runs import RunFolder, numbered, step_of
from d3gan.shell import command_line
from d3gan.tensor_files import BrokenFile
from d3gan.training import distributed
from d3gan.training.build import build_generator
from d3gan.training.checkpoint import newest_checkpoint, read_checkpoint
from d3gan.training.export import onnx_bytes, read_export, safetensors_bytes
from d3gan.training.sampling import (
    class_grid,
    generate,
    interpolation,
    latents,
    random_labels,
    to_uint8,
)


class BrokenCheckpoint(UserError):
    """The checkpoint that was asked for is damaged."""


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


def load(path: str | os.PathLike[str], checkpoint: str = "last") -> TrainedGenerator:
    """The generator of a run folder, of a .safetensors export, or of hf://owner/name[@revision].

    `checkpoint` of a run is last (the newest sound one), best (by the monitored metric) or a step.
    The moving average of the weights is taken where the run kept one. Raises UserError.
    """
    model = hub_model(path)
    path = Path(path)
    if model or path.suffix == ".safetensors":
        if checkpoint != "last":
            raise UserError(f"checkpoint = '{checkpoint}': {model or path} holds one generator")
        exported = read_export(model.download() if model else path)
        if model:
            _refuse_plugins(exported.config, model)
        return _trained(*exported, origin=str(model or path))
    run = RunFolder(path)
    run.require()
    config = load_file(run.config_file)
    saved = newest_checkpoint(run) if checkpoint == "last" else _saved_as(run, checkpoint)
    if saved is None:
        hint = command_line("train", path)
        raise UserError(f"the run {path} has no checkpoint yet; train it first: {hint}")
    weights = next(saved[key] for key in ("ema", "average", "generator") if key in saved)
    step = saved["step"]
    return _trained(config, weights, step, saved.get("classes", 0), f"step {step} of {path}")


def checkpoints(path: Path) -> tuple[list[str], int | None]:
    """Return the names of all checkpoints of a run for `load`, and the step of the best one.

    The names are steps, and "best" if it is not one of them; the step is None if no best checkpoint
    can be read. Raises UserError if there is no run.
    """
    run = RunFolder(path)
    run.require("evaluate")
    steps = [step_of(file) for file in numbered(run.checkpoints, "pt")]
    names = [str(step) for step in steps]
    if not run.best_file.exists():
        return names, None
    try:
        best: int = _saved_as(run, "best")["step"]
    except BrokenCheckpoint as error:
        if distributed.is_main():
            warn(str(error))
        return names, None
    return (names if best in steps else ["best", *names]), best


def _saved_as(run: RunFolder, checkpoint: str) -> dict[str, Any]:
    """The content of the checkpoint "best" or of a step. Raises UserError."""
    file = run.best_file
    if checkpoint != "best":
        if not checkpoint.isdecimal():
            raise UserError(f"checkpoint = '{checkpoint}': must be best, last or a step")
        file = run.checkpoint_file(int(checkpoint))
    if not file.is_file():
        there = ["best"] if run.best_file.exists() else []
        there += [str(step_of(kept)) for kept in numbered(run.checkpoints, "pt")]
        raise UserError(
            f"the run {run.path} has no checkpoint '{checkpoint}'; "
            f"it has: {', '.join(there) or 'none'}"
        )
    try:
        return read_checkpoint(file)
    except BrokenFile as error:
        raise BrokenCheckpoint(f"broken checkpoint {file} ({error}); take another one") from error


def _refuse_plugins(config: Config, model: HubModel) -> None:
    """Raise UserError if using the generator would import a module that its author names.

    Weights from the hub must not run code; whoever trusts them downloads the file and loads it.
    """
    for key, text in plugin_values(config):
        if key in ("model.architecture", "data.source", "eval.features"):
            raise UserError(
                f"{model} needs code outside of d3gan ({key} = {text!r}), which is not run for a "
                f"model from the hub; if you trust it, download it with `hf download "
                f"{model.repository} {EXPORT} --local-dir .` and name the file {EXPORT}"
            )


def _trained(
    config: Config, weights: Mapping[str, Tensor], step: int, classes: int, origin: str
) -> TrainedGenerator:
    """Return a generator with these weights, which come from `origin`. Raises UserError."""
    generator = build_generator(config, classes)
    try:
        generator.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"the weights of {origin} do not match their configuration; restore one of the two "
            f"({str(error).splitlines()[-1].strip()})"
        ) from error
    if not all(bool(x.isfinite().all()) for x in generator.state_dict().values()):
        raise UserError(
            f"the weights of {origin} are not finite (NaN or infinite), so there is nothing to "
            "draw; take an earlier checkpoint"
        )
    return TrainedGenerator(config, generator.eval().requires_grad_(False), step, classes)
