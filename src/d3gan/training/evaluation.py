"""Measuring the generator of a run, or a set of images, at any time after training."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from d3gan.config import DataConfig, EvalConfig
from d3gan.data.cache import ImageSet, check_one_size, load_images, native_shape
from d3gan.errors import UserError
from d3gan.evaluation.evaluator import Evaluator, Measurement
from d3gan.evaluation.options import EvaluationOptions
from d3gan.evaluation.real_statistics import drawn_from
from d3gan.hub import hub_model
from d3gan.messages import note, warn
from d3gan.rng import Stream, permutation
from d3gan.training import distributed
from d3gan.training.generator import TrainedGenerator
from d3gan.training.inference import BrokenCheckpoint, checkpoints, load
from d3gan.training.measuring import measure_draws
from d3gan.training.resuming import name_new_place

RUN_SAMPLES = 50_000
"""Default number of images generated for a run's metrics, as in papers that report FID."""


class Evaluated(NamedTuple):
    """The metrics of one checkpoint or of one set of images."""

    target: str
    step: int | None
    """Step of the checkpoint; None for images."""
    is_best: bool
    """Whether it is known to be the run's best checkpoint."""
    measured: Measurement

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        step = {} if self.step is None else {"step": self.step}
        return {"target": self.target, **step, **self.measured.to_dict()}


def evaluate(options: EvaluationOptions) -> list[Evaluated]:
    """Measure a target: several results for all checkpoints of a run, otherwise one.

    Under torchrun all processes call it; only the main one gets the numbers. Raises UserError.
    """
    options.check()
    with distributed.process_group(options.device) as device:
        return list(_of_run(options, device)) if options.is_run else [_of_images(options, device)]


def evaluate_generator(options: EvaluationOptions, trained: TrainedGenerator) -> Evaluated:
    """Measure a generator, which the options' target only names. Otherwise as `evaluate`."""
    options.check_values()
    with distributed.process_group(options.device) as device:
        return next(_of_generators(options, [trained], None, device))


def _of_run(options: EvaluationOptions, device: torch.device) -> Iterator[Evaluated]:
    path = Path(options.target)
    with distributed.raise_together():
        loaded, best = _loaded(path, options.checkpoint)  # reports a broken one before long work
    yield from _of_generators(options, loaded, best, device)


def _of_generators(
    options: EvaluationOptions,
    loaded: list[TrainedGenerator],
    best: int | None,
    device: torch.device,
) -> Iterator[Evaluated]:
    """Yield the metrics of generators of one run; `best` is the step of the best one."""
    with distributed.raise_together():
        config, data = loaded[0].config, loaded[0].config.data
        if options.against or options.against_split:
            data = dataclasses.replace(
                data,
                source=options.against or data.source,
                split=options.against_split or "train",
                limit=0,
            )
        data = dataclasses.replace(data, skip_broken=data.skip_broken or options.skip_broken)
        with name_new_place(data.source, "--against"):
            real = load_images(data)
    options = dataclasses.replace(options, features=options.features or config.eval.features)
    samples = options.samples or RUN_SAMPLES
    evaluator = _evaluator(options, data, real, samples, loaded[0].classes, device)
    while loaded:
        trained = loaded.pop(0)  # so that the device holds one at a time
        seeds = range(options.seed, options.seed + options.draws)
        measured = measure_draws(evaluator, trained, seeds, device, f"step {trained.step}")
        yield Evaluated(options.target, trained.step, trained.step == best, measured)


def _loaded(path: Path, checkpoint: str) -> tuple[list[TrainedGenerator], int | None]:
    """Return the generators to measure, and the step of the best checkpoint if all are measured.

    Of all checkpoints, broken ones are left out with a warning. Raises UserError.
    """
    if checkpoint != "all":
        return [load(path, checkpoint)], None
    if path.suffix == ".safetensors" or hub_model(path):
        raise UserError(
            f"{hub_model(path) or path} holds one generator; --checkpoint all needs a run folder"
        )
    names, best = checkpoints(path)
    loaded = []
    for name in names:
        try:
            loaded.append(load(path, name))
        except BrokenCheckpoint as error:
            if distributed.is_main():
                warn(str(error))
    return loaded or [load(path)], best  # `load` reports that there is none


def _of_images(options: EvaluationOptions, device: torch.device) -> Evaluated:
    target, split = options.target, options.split or "train"
    with distributed.raise_together():
        side, channels = native_shape(target, split, any_size=bool(options.resolution))
        if not options.against:
            raise UserError(f"name the real images to compare {target} with: --against SOURCE")
        here = DataConfig(
            source=target,
            split=split,
            skip_broken=options.skip_broken,
            resolution=options.resolution or side,
            channels=1 if (options.channels or channels) == 1 else 3,
        )
        there = dataclasses.replace(
            here, source=options.against, split=options.against_split or "train"
        )
        generated, real = load_images(here), load_images(there)
        if not options.resolution:
            check_one_size(generated.sizes, target)
        images = generated.images
        if distributed.is_main():
            for line in dict.fromkeys((*generated.notes, *real.notes)):
                note(line)
        if options.samples > len(images):
            raise UserError(f"samples = {options.samples}: {target} has only {len(images)} images")
        if options.samples:
            order = permutation(0, Stream.SUBSET, 0, len(images))
            images = images[order[: options.samples].sort().values.numpy()]
    options = dataclasses.replace(options, features=options.features or "inception")
    evaluator = _evaluator(options, there, real, len(images), None, device)
    return Evaluated(target, None, False, evaluator.measure(drawn_from(images), title=target))


def _evaluator(
    options: EvaluationOptions,
    data: DataConfig,
    real: ImageSet,
    samples: int,
    classes: int | None,
    device: torch.device,
) -> Evaluator:
    wanted = EvalConfig(
        samples=samples, features=options.features, metrics=options.metrics, weights=options.weights
    )
    few = options.allow_few
    return Evaluator(data, real, wanted, device, classes=classes, ranks=distributed, allow_few=few)
