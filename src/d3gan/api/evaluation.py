"""Measure a generator or images from Python."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from d3gan.api.arguments import Images, source_of
from d3gan.errors import UserError
from d3gan.evaluation.options import EvaluationOptions
from d3gan.evaluation.protocol import REPORT_SEEDS

if TYPE_CHECKING:
    from d3gan.training.generator import TrainedGenerator


def evaluate(
    target: "TrainedGenerator | Images",
    *,
    against: Images = "",
    against_split: str = "",
    features: str = "",
    metrics: str | Sequence[str] = (),
    samples: int = 0,
    checkpoint: str | int = "last",
    draws: int = len(REPORT_SEEDS),
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> dict[str, Any]:
    """Return metrics of a generator, or of a set of images, compared with real images.

    Args:
        target: A run or its folder, a .safetensors file, ``hf://owner/name``, a generator that
            `d3gan.load` returned, or images, which are given like the `data` of `d3gan.train`.
        against: Real images, given like the `data` of `d3gan.train`; by default those that the
            generator was trained on.
        against_split: Split of the real images; by default "train".
        features: "inception" (FID, Inception Score), "dinov2", "classifier", "classifier:SOURCE" or
            a plugin; by default those of the run, and "inception" for images. docs/metrics.md
            describes them.
        metrics: Metrics to compute, such as ``["fd", "recall"]``; by default all that the features
            allow.
        samples: Number of images to measure; by default 50,000 of a generator, and all of a set.
        checkpoint: Checkpoint of a run: "last", "best" or a step.
        draws: Number of draws of latents of a generator, of so many images each; the metrics are
            means over them.
        device: Device that computes; "auto" is CUDA where there is one.

    Returns:
        The value of each metric, its standard error as ``NAME_stderr``, the ``protocol`` by which
        they were measured, and of a generator the ``step``, ``draws`` and ``seeds``.

    Raises:
        UserError: For a mistake in the arguments.
    """
    if checkpoint == "all":
        raise UserError("checkpoint = 'all': evaluate the checkpoints one by one (Run.checkpoints)")
    name, generator = _target(target)
    options = EvaluationOptions(
        target=name,
        against=source_of(against),
        features=features,
        metrics=(metrics,) if isinstance(metrics, str) else tuple(metrics),
        samples=samples,
        checkpoint=str(checkpoint),
        against_split=against_split,
        draws=draws,
        device=device,
    )
    if generator is not None:
        options.check_values()
    else:
        options.check()
    from d3gan.training import evaluation

    if generator is not None:
        return evaluation.evaluate_generator(options, generator).to_dict()
    return evaluation.evaluate(options)[0].to_dict()


def _target(target: "TrainedGenerator | Images") -> "tuple[str, TrainedGenerator | None]":
    """Return the name of what is measured, and the generator if it is one. Raises UserError."""
    if not isinstance(target, str | os.PathLike):
        from d3gan.training.generator import TrainedGenerator  # imports torch

        if isinstance(target, TrainedGenerator):
            return f"generator of step {target.step}", target
    return source_of(target), None
