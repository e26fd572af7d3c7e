"""d3gan evaluate."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Table

from d3gan import config as configs
from d3gan.cli.parsing import parse
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, print_table, write_json
from d3gan.config import DataConfig
from d3gan.data.store import load_images, native_shape
from d3gan.errors import UserError
from d3gan.metrics.estimate import Estimate
from d3gan.runs import RunFolder
from d3gan.stateless import Stream, permutation
from d3gan.training import distributed
from d3gan.training.evaluation import Evaluator, Measurement
from d3gan.training.reference import drawn_from
from d3gan.training.trained import checkpoints, load

RUN_SAMPLES = 50_000
"""Images generated for a run's metrics unless told: the number that papers use for FID."""


def evaluate(arguments: list[str]) -> int:
    """Measure generated images."""
    parse(_evaluate, arguments, "evaluate")
    return 0


def _evaluate(
    target: Annotated[str, tyro.conf.Positional],
    against: str = "",
    features: str = "",
    metrics: tuple[str, ...] = (),
    samples: int = 0,
    checkpoint: str = "last",
    split: str = "",
    against_split: str = "",
    resolution: int = 0,
    channels: int = 0,
    seed: int = 0,
    weights: str = "",
    allow_few: bool = False,
    skip_broken: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    json: str = "",
) -> None:
    """Measure a run's generator, or a set of images, against real images.

    Args:
        target: A run's folder, a .safetensors file that `d3gan export` wrote, or images: a folder,
            a .npy or .npz file, a name (d3gan data list).
        against: The real images, named as target's; if not given, those that the run learned from.
        features: inception (the numbers fid and is), classifier (fd and cs, by a network trained
            on the labels of the real images), classifier:SOURCE; if not given, those of the run's
            config, and inception for images.
        metrics: Some of fid is (inception) or fd cs (classifier), kid, precision, recall, density,
            coverage, and with a classifier modes, kl_uniform, kl_data; if not given, all.
        samples: How many images to measure; if not given, 50,000 of a run, all of a set.
        checkpoint: Of a run: best, last, a step, or all for one row each.
        split: Of images that have splits; if not given, train.
        against_split: Of the real images; if not given, train.
        resolution: Side of the images compared, pixels; if not given, the run's or the target's.
        channels: 1 grey, 3 colour; if not given, the run's or the target's.
        seed: Which images a run generates.
        weights: A local file of the Inception weights, for machines without a network.
        allow_few: Let the Fréchet distance be taken from fewer images than features.
        skip_broken: Leave out images that cannot be read.
        device: auto: CUDA where there is one.
        json: Write the numbers to this file; -: to standard output, and nothing else.
    """
    check_json(json)
    chosen = Choice(
        against,
        features,
        metrics,
        samples,
        split,
        against_split,
        resolution,
        channels,
        skip_broken,
    )
    is_run = Path(target).suffix == ".safetensors" or RunFolder(Path(target)).exists()
    _check(chosen, seed)
    _check_flags(target, is_run, chosen, seed, checkpoint)
    if weights and features.startswith("classifier"):
        raise UserError("weights are Inception's: give --features inception with them")
    with distributed.process_group(device) as where:
        settings = {"weights": weights, "device": where, "allow_few": allow_few}
        if is_run:
            rows = list(_of_run(Path(target), checkpoint, seed, chosen, settings))
        else:
            rows = [_of_images(target, chosen, settings)]
        if distributed.is_main():
            values = [{"target": target, **step, **measured.to_dict()} for step, measured in rows]
            write_json(values if checkpoint == "all" else values[0], json)
            if json != STANDARD_OUTPUT:
                _print(target, rows)


@dataclass(frozen=True)
class Choice:
    """What is measured, and how, as the flags say it."""

    against: str
    features: str
    metrics: tuple[str, ...]
    samples: int
    split: str
    against_split: str
    resolution: int
    channels: int
    skip_broken: bool


def _check_flags(target: str, is_run: bool, chosen: Choice, seed: int, checkpoint: str) -> None:
    """Raise UserError for a flag that says nothing about such a target."""
    if is_run and (chosen.resolution or chosen.channels):
        raise UserError("resolution and channels are those of the run; leave them out")
    if is_run and chosen.split:
        raise UserError("split is for images; for the real ones give --against-split")
    if not is_run and (seed or checkpoint != "last"):
        raise UserError(f"seed and checkpoint are for runs, and {target} is none")


def _check(chosen: Choice, seed: int) -> None:
    """Raise UserError for numbers out of range; 0 stands for what was not given."""
    if not 0 <= seed < 2**63:
        raise UserError(f"seed = {seed}: must be at least 0 and below 2^63")
    if chosen.samples and not 2 <= chosen.samples <= 10**7:
        raise UserError(f"samples = {chosen.samples}: must be at least 2 and at most 10,000,000")
    if chosen.resolution and not 8 <= chosen.resolution <= 2048:
        raise UserError(f"resolution = {chosen.resolution}: must be at least 8 and at most 2048")
    if chosen.channels not in (0, 1, 3):
        raise UserError(f"channels = {chosen.channels}: must be 1 or 3")
    if chosen.features:
        configs.from_dict({"eval": {"features": chosen.features}})


Row = tuple[dict[str, int], Measurement]


def _of_run(
    path: Path, checkpoint: str, seed: int, chosen: Choice, settings: dict[str, Any]
) -> Iterator[Row]:
    with distributed.all_or_none():
        names = _which(path, checkpoint)
        trained = load(path, names[0])
        data = trained.config.data
        for name in names[1:]:
            load(path, name)  # a broken one is told before the long work
        if chosen.against or chosen.against_split:
            data = dataclasses.replace(
                data,
                source=chosen.against or data.source,
                split=chosen.against_split or "train",
                limit=0,
            )
        data = dataclasses.replace(data, skip_broken=data.skip_broken or chosen.skip_broken)
        real = load_images(data)
    evaluator = Evaluator(
        data,
        real,
        features=chosen.features or trained.config.eval.features,
        metrics=chosen.metrics,
        samples=chosen.samples or RUN_SAMPLES,
        **settings,
    )
    for number, name in enumerate(names):
        with distributed.all_or_none():
            trained = trained if number == 0 else load(path, name)
        measured = evaluator.measure_generator(
            trained.generator.to(settings["device"]),
            trained.config.model.latent_dim,
            ema=trained.ema,
            seed=seed,
            title=f"step {trained.step}",
        )
        yield {"step": trained.step}, measured


def _which(path: Path, checkpoint: str) -> list[str]:
    if checkpoint != "all":
        return [checkpoint]
    if path.suffix == ".safetensors":
        raise UserError(f"{path} holds one generator; --checkpoint all needs a run's folder")
    return checkpoints(path) or ["last"]  # which says that there is none


def _of_images(target: str, chosen: Choice, settings: dict[str, Any]) -> Row:
    with distributed.all_or_none():
        side, channels = native_shape(target, chosen.split or "train")
        if not chosen.against:
            raise UserError(
                f"name the real images that {target} is measured against: --against SOURCE"
            )
        here = DataConfig(
            source=target,
            split=chosen.split or "train",
            skip_broken=chosen.skip_broken,
            resolution=chosen.resolution or side,
            channels=1 if (chosen.channels or channels) == 1 else 3,
        )
        there = dataclasses.replace(
            here, source=chosen.against, split=chosen.against_split or "train"
        )
        images, real = load_images(here).images, load_images(there)
        if chosen.samples > len(images):
            raise UserError(f"samples = {chosen.samples}: {target} has only {len(images)} images")
        if chosen.samples:
            order = permutation(0, Stream.SUBSET, 0, len(images))
            images = images[order[: chosen.samples].sort().values.numpy()]
    evaluator = Evaluator(
        there,
        real,
        features=chosen.features or "inception",
        metrics=chosen.metrics,
        samples=len(images),
        **settings,
    )
    return {}, evaluator.measure(drawn_from(images), title=target)


COLUMNS = 4
"""Checkpoints beside each other in a table of 80 columns."""


def _print(target: str, rows: list[Row]) -> None:
    for first in range(0, len(rows), COLUMNS):
        part = rows[first : first + COLUMNS]
        table = Table("metric", box=None)
        for step, _ in part:
            heading = f"step {step['step']:,}" if step else "value"
            table.add_column(heading, justify="right")
        for name in part[0][1].numbers:
            table.add_row(name, *(_words(measured.numbers[name]) for _, measured in part))
        print_table(table)
        print()
    contract = rows[0][1].contract
    accuracy = contract.test_accuracy
    sure = "" if accuracy is None else f" (test accuracy {accuracy:.2%})"
    print(
        f"{contract.generated_images:,} images of {target}\n"
        f"against {contract.real_images:,} of {contract.real_source}, {contract.real_split}, "
        f"at {contract.resolution} x {contract.resolution}\n"
        f"features: {contract.features}{sure}\n"
        "±: standard error"
    )


def _words(estimate: Estimate) -> str:
    value, error = estimate
    negligible = error <= 1e-5 * abs(value)
    return f"{value:.4g}" if negligible else f"{value:.4g} ± {error:.1g}"
