"""Load trained generators: from runs, exports, and the hub."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from d3gan.config import Config, plugin_values
from d3gan.config_files import load_file
from d3gan.errors import UserError
from d3gan.hub import EXPORT, HubModel, hub_model
from d3gan.messages import warn
from d3gan.runs import RunFolder, numbered, step_of
from d3gan.shell import command_line
from d3gan.tensor_files import BrokenFile
from d3gan.training import distributed
from d3gan.training.build import build_generator
from d3gan.training.checkpoint import newest_checkpoint, read_checkpoint
from d3gan.training.export import read_export
from d3gan.training.generator import TrainedGenerator


class BrokenCheckpoint(UserError):
    """The checkpoint that was asked for is damaged."""


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
