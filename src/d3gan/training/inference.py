"""A trained generator: load it, sample from it, export it."""

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from d3gan.config import Config, to_toml
from d3gan.config_files import from_toml, load_file
from d3gan.errors import UserError
from d3gan.evaluation.evaluator import Evaluator, Measurement, mean_over_draws
from d3gan.evaluation.protocol import SELECTION_SEED
from d3gan.files import write_bytes, writing
from d3gan.runs import RunFolder, numbered, step_of
from d3gan.tensor_files import BrokenFile
from d3gan.training.build import build_generator
from d3gan.training.checkpoint import newest_checkpoint, read_checkpoint
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
    """A generator with the configuration that it was trained with, on the CPU in float32."""

    config: Config
    generator: nn.Module
    step: int
    classes: int = 0
    """Number of classes of a conditional generator; 0 for an unconditional one."""

    @property
    def ema(self) -> bool:
        """Whether the weights are a moving average (EMA)."""
        return self.config.ema_half_life > 0

    def sample(
        self, count: int, seed: int = 0, first: int = 0, label: int | Sequence[int] | None = None
    ) -> Tensor:
        """Return images [count, C, H, W] in [0, 1].

        `seed` names an endless sequence of images; these are number `first` and on, so many images
        can be sampled part by part. `label` is the class of all images, or one per image; without
        it a conditional generator's classes are drawn uniformly. Raises UserError for a label of an
        unconditional generator or out of range.
        """
        labels = self.labels(count, seed, first, label)
        return self.images(latents(count, self.config.model.latent_dim, seed, first), labels)

    def labels(
        self, count: int, seed: int = 0, first: int = 0, label: int | Sequence[int] | None = None
    ) -> Tensor | None:
        """Return the labels int64 [count] of the images that `sample` returns; None if there are
        none. Raises UserError as `sample` does.
        """
        if label is None:
            return random_labels(count, self.classes, seed, first)
        labels = torch.as_tensor(label, dtype=torch.int64).expand(count)
        if not self.classes:
            raise UserError(f"label = {label}: the generator is unconditional; leave the label out")
        if labels.min() < 0 or labels.max() >= self.classes:
            raise UserError(f"label = {label}: must be at least 0 and below {self.classes}")
        return labels

    def sample_grid(self, count: int, seed: int = 0) -> tuple[Tensor, int | None]:
        """Return about `count` images in [0, 1] for a grid, and its number of columns.

        A conditional generator has one row per class; otherwise the columns are None (a square).
        """
        z, labels, columns = class_grid(count, self.config.model.latent_dim, self.classes, seed)
        return self.images(z, labels), columns

    def interpolate(self, rows: int, columns: int, seed: int = 0) -> Tensor:
        """Return images [rows * columns, C, H, W] in [0, 1]; each row joins two latents.

        A conditional generator has one class per row, in order.
        """
        ends = latents(2 * rows, self.config.model.latent_dim, seed).view(rows, 2, -1)
        walks = [walk for pair in ends for walk in interpolation(pair, columns)]
        labels = None
        if self.classes:
            labels = (torch.arange(rows) % self.classes).repeat_interleave(columns)
        return self.images(torch.cat(walks), labels)

    def images(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images [B, C, H, W] in [0, 1] for latents z [B, latent_dim] and labels [B]."""
        return (generate(self.generator, z, labels) + 1) / 2

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and configuration as .safetensors, or the network as .onnx.

        The ONNX network maps z [B, latent_dim], and labels int64 [B] if it is conditional, to
        images [B, C, H, W] in [-1, 1].
        """
        path = Path(path)
        if path.suffix not in (".safetensors", ".onnx"):
            raise UserError(f"cannot export to {path}; the name must end in .safetensors or .onnx")
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, self._onnx() if path.suffix == ".onnx" else self._safetensors())

    def _safetensors(self) -> bytes:
        numbers = {"step": str(self.step), "classes": str(self.classes)}
        return save(self.generator.state_dict(), {"d3gan": to_toml(self.config), **numbers})

    def _onnx(self) -> bytes:
        try:
            import onnxscript  # noqa: F401  (torch.onnx needs it and says so in a long trace)
        except ImportError:
            raise UserError("ONNX export needs onnxscript: pip install onnxscript") from None
        inputs = {"z": torch.zeros(2, self.config.model.latent_dim)}
        if self.classes:
            inputs["labels"] = torch.zeros(2, dtype=torch.int64)
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch's own code
            program = torch.onnx.export(
                self.generator,
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=["images"],
                dynamic_shapes=tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs),
                verbose=False,
            )
        assert program is not None
        content: bytes = program.model_proto.SerializeToString()
        return content


def measure_generator(
    evaluator: Evaluator,
    generator: nn.Module,
    latent_dim: int,
    *,
    ema: bool,
    seed: int = SELECTION_SEED,
    title: str = "",
) -> Measurement:
    """Return the metrics of the first images of the endless sequence that `seed` names.

    If `evaluator.classes` is not 0, the generator is conditional, and its labels are drawn
    uniformly from these classes. All ranks call it together. A `title` shows a progress bar.
    """

    def labels(numbers: range) -> Tensor | None:
        return random_labels(len(numbers), evaluator.classes or 0, seed, numbers.start)

    def draw(numbers: range) -> Tensor:
        z = latents(len(numbers), latent_dim, seed, numbers.start)
        return torch.from_numpy(to_uint8(generate(generator, z, labels(numbers))))

    return evaluator.measure(draw, labels, seed=seed, ema=ema, title=title)


def measure_draws(
    evaluator: Evaluator,
    trained: TrainedGenerator,
    seeds: Sequence[int],
    device: torch.device,
    title: str = "",
) -> Measurement:
    """Return the means of the metrics over draws of latents, one for each seed.

    All ranks call it together. A `title` shows a progress bar for each draw.
    """
    generator, latent_dim = trained.generator.to(device), trained.config.model.latent_dim
    titles = [title and f"{title}, draw {k} of {len(seeds)}" for k in range(1, len(seeds) + 1)]
    draws = [
        measure_generator(
            evaluator, generator, latent_dim, ema=trained.ema, seed=seed, title=of_draw
        )
        for seed, of_draw in zip(seeds, titles, strict=True)
    ]
    return mean_over_draws(draws, seeds)


def load(path: str | os.PathLike[str], checkpoint: str = "last") -> TrainedGenerator:
    """The generator of a run folder or of a .safetensors export.

    `checkpoint` of a run is last (the newest sound one), best (by the monitored metric) or a step.
    The moving average of the weights is taken where the run kept one. Raises UserError.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        if checkpoint != "last":
            raise UserError(f"checkpoint = '{checkpoint}': {path} holds one generator alone")
        return _load_export(path)
    run = RunFolder(path)
    run.require()
    config = load_file(run.config_file)
    saved = newest_checkpoint(run) if checkpoint == "last" else _saved_as(run, checkpoint)
    if saved is None:
        raise UserError(f"the run {path} has no checkpoint yet; train it first: d3gan train {path}")
    weights = next(saved[key] for key in ("ema", "average", "generator") if key in saved)
    return _trained(config, weights, saved["step"], saved.get("classes", 0))


def checkpoints(path: Path) -> list[str]:
    """The names of all checkpoints of a run for `load`: its steps, and "best" if it is not one of
    them."""
    run = RunFolder(path)
    run.require()
    steps = [step_of(file) for file in numbered(run.checkpoints, "pt")]
    best = best_step(path)
    names = [str(step) for step in steps]
    return names if best is None or best in steps else ["best", *names]


def best_step(path: Path) -> int | None:
    """The step of a run's checkpoint "best"; None if it has none. Raises UserError."""
    run = RunFolder(path)
    if not run.best_file.exists():
        return None
    step: int = _saved_as(run, "best")["step"]
    return step


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
        raise UserError(f"broken checkpoint {file} ({error}); take another one") from error


def _load_export(path: Path) -> TrainedGenerator:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if "d3gan" not in metadata or not metadata.get("step", "").isdigit():
        raise UserError(f"{path} was not written by d3gan export")
    config = from_toml(metadata["d3gan"], path.stem, str(path))
    return _trained(config, weights, int(metadata["step"]), int(metadata.get("classes", "0")))


def _trained(
    config: Config, weights: dict[str, Tensor], step: int, classes: int
) -> TrainedGenerator:
    generator = build_generator(config, classes)
    try:
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            "the saved weights do not match their configuration; restore one of the two "
            f"({str(error).splitlines()[-1].strip()})"
        ) from error
    return TrainedGenerator(config, generator.eval().requires_grad_(False), step, classes)
