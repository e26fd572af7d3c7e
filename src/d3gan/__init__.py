"""Train, measure and compare GANs with one, two (D3GAN) or N discriminators.

    run = d3gan.train("demo-d3gan", {"train": {"epochs": 2}})
    images = d3gan.load(run).sample(64, seed=0)

The command line (`d3gan --help`) offers the same and more. All functions raise
`d3gan.errors.UserError` for a mistake in their arguments.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from d3gan.config import Config
    from d3gan.training.inference import TrainedGenerator

__all__ = ["Config", "compare", "evaluate", "load", "train"]

StrPath = str | os.PathLike[str]

# Importing torch takes seconds, so the functions import what they need.


def train(start: "StrPath | Config", changes: Mapping[str, Any] | None = None) -> Path:
    """Train a run, or resume it, and return its folder.

    `start` is a preset, a .toml file, a run folder or a `Config`; `changes` are values of the
    configuration, nested as in TOML: ``{"train": {"epochs": 2}}``.
    """
    from d3gan import config as configs
    from d3gan.config_files import starting_point
    from d3gan.training import trainer

    resume = False
    if not isinstance(start, configs.Config):
        start, resume = starting_point(os.fspath(start))
    config = configs.validate(configs.from_dict(changes or {}, start))
    if resume:
        configs.refuse_changes(start, config)
    return trainer.train(config, resume=resume).path


def load(path: StrPath, checkpoint: str = "last") -> "TrainedGenerator":
    """Return the generator of a run folder or of a .safetensors export, ready to sample.

    ``d3gan.load("runs/demo-d3gan").sample(64, seed=0)`` returns images uint8 [64, H, W, C].
    `checkpoint` of a run is last, best or a step.
    """
    from d3gan.training import inference

    return inference.load(path, checkpoint)


def evaluate(
    target: StrPath,
    *,
    against: str = "",
    features: str = "",
    metrics: Sequence[str] = (),
    samples: int = 0,
    checkpoint: str = "last",
    draws: int = 3,
) -> list[dict[str, Any]]:
    """Return metrics of a run's generator, or of a set of images, as `d3gan evaluate --json`.

    The list has one entry for each checkpoint if `checkpoint` is "all", otherwise a single one. The
    arguments are described by `d3gan evaluate --help`.
    """
    from d3gan.evaluation.options import EvaluationOptions
    from d3gan.training import evaluation

    options = EvaluationOptions(
        os.fspath(target),
        against,
        features,
        tuple(metrics),
        samples,
        checkpoint,
        draws=draws,
    )
    return [result.to_dict() for result in evaluation.evaluate(options)]


def compare(runs: Sequence[StrPath], *, metric: str = "", baseline: str = "") -> dict[str, Any]:
    """Return the comparison of run folders; runs that differ only in their seed are one method.

    The result is described in docs/comparison.md. `metric` is by default the monitored one, and
    `baseline` the method with the fewest discriminators.
    """
    from d3gan.runs import RunFolder
    from d3gan.study.compare import compare as compare_runs
    from d3gan.study.question import Question

    folders = [RunFolder(Path(run)) for run in runs]
    return compare_runs(folders, Question(metric=metric, baseline=baseline))


def __getattr__(name: str) -> Any:
    if name == "Config":
        from d3gan.config import Config

        return Config
    raise AttributeError(f"module 'd3gan' has no attribute '{name}'")
