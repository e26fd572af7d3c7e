"""d3gan evaluate."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
import tyro
from rich.table import Table

from d3gan.cli.parsing import check_seed, parse
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, print_table, write_json
from d3gan.config import DataConfig
from d3gan.data.cache import ImageSet, load_images, native_shape
from d3gan.errors import UserError
from d3gan.evaluation.evaluator import Evaluator, Measurement
from d3gan.evaluation.features.names import check_features
from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.real_statistics import drawn_from
from d3gan.fields import Range, checked
from d3gan.rng import Stream, permutation
from d3gan.runs import RunFolder
from d3gan.training import distributed
from d3gan.training.inference import best_step, checkpoints, load, measure_generator

RUN_SAMPLES = 50_000
"""Default number of images generated for a run's metrics, as in papers that report FID."""


@dataclass(frozen=True)
class Evaluate:
    """Measure a run's generator, or a set of images, against real images."""

    # Help texts keep their line breaks and have 58 of a terminal's 80 columns.

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|IMAGES")]
    """Run: its folder, or a .safetensors file of d3gan export.
    Images: a folder, a .npy or .npz file, a name (d3gan data list)."""
    against: str = ""
    """Real images, named likewise; if not given, those the run
    was trained on."""
    features: str = ""
    """inception: the network of FID; metrics fid and is.
    classifier: trained on the real images' labels; fd and cs.
    classifier:SOURCE: trained on another source's labels.
    module.path:Name: a plugin; fd.
    If not given, those of the run's config; for images inception."""
    metrics: tuple[str, ...] = ()
    """Some of fid is (inception) or fd cs (classifier), kid,
    precision, recall, density, coverage; with a classifier
    modes, kl_uniform, kl_data; and for a conditional run
    label_agreement; if none is given, all possible ones."""
    samples: int = 0
    """Number of images to measure; 0: 50,000 of a run, all of a set."""
    checkpoint: str = "last"
    """Checkpoint of a run: best, last, a step, or all side by side."""
    split: str = ""
    """Split of the images; if not given, train."""
    against_split: str = ""
    """Split of the real images; if not given, train."""
    resolution: int = 0
    """Side of the images compared, in pixels; 0: as the run or
    the images."""
    channels: int = 0
    """1 grey, 3 colour; 0: as the run or the images."""
    seed: int = 0
    """Seed of the latents of a run's images."""
    weights: str = ""
    """Local file of the Inception weights, for machines without
    a network."""
    allow_few: bool = False
    """Compute the Fréchet distance even from fewer images than
    features."""
    skip_broken: bool = False
    """Leave out images that cannot be read."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where there is one."""
    json: str = ""
    """Write the numbers to this file; -: only them, to standard output."""


class Row(NamedTuple):
    """The metrics of one checkpoint or of one set of images."""

    heading: str
    step: dict[str, int]
    """``{"step": N}`` of a checkpoint, for JSON; empty for images."""
    measured: Measurement


def evaluate(arguments: list[str]) -> int:
    """Measure generated images."""
    options: Evaluate = parse(Evaluate, arguments, "evaluate")
    target = Path(options.target)
    is_run = target.suffix == ".safetensors" or RunFolder(target).exists()
    check_json(options.json)
    _check_values(options)
    _check_flags(options, is_run)
    with distributed.process_group(options.device) as device:
        rows = list(_of_run(options, device)) if is_run else [_of_images(options, device)]
        if distributed.is_main():
            values = [{"target": options.target, **r.step, **r.measured.to_dict()} for r in rows]
            write_json(values if options.checkpoint == "all" else values[0], options.json)
            if options.json != STANDARD_OUTPUT:
                _print(options.target, rows)
    return 0


def _check_values(options: Evaluate) -> None:
    """Raise UserError for a value out of range; 0 means not given."""
    check_seed(options.seed)
    if options.samples:
        checked(Annotated[int, Range(2, 10**7)], options.samples, "samples")
    if options.resolution:
        checked(Annotated[int, Range(8, 2048)], options.resolution, "resolution")
    if options.channels not in (0, 1, 3):
        raise UserError(f"channels = {options.channels}: must be 1 or 3")
    if options.features:
        check_features(options.features)


def _check_flags(options: Evaluate, is_run: bool) -> None:
    """Raise UserError for a flag that does not apply to the target or the features."""
    if is_run and (options.resolution or options.channels):
        raise UserError("resolution and channels are fixed by the run; leave them out")
    if is_run and options.split:
        raise UserError("split is for images; for the real images give --against-split")
    if not is_run and (options.seed or options.checkpoint != "last"):
        raise UserError(f"seed and checkpoint are for runs, and {options.target} is not a run")
    if options.weights and options.features not in ("", "inception"):
        raise UserError("weights are those of Inception: give --features inception with them")


def _of_run(options: Evaluate, device: torch.device) -> Iterator[Row]:
    path = Path(options.target)
    with distributed.raise_together():
        names = _which(path, options.checkpoint)
        loaded = [load(path, name) for name in names]  # reports a broken one before long work
        best = best_step(path) if options.checkpoint == "all" else None
        config = loaded[0].config
        data = config.data
        if options.against or options.against_split:
            data = dataclasses.replace(
                data,
                source=options.against or data.source,
                split=options.against_split or "train",
                limit=0,
            )
        data = dataclasses.replace(data, skip_broken=data.skip_broken or options.skip_broken)
        real = load_images(data)
    samples = options.samples or RUN_SAMPLES
    features, classes = config.eval.features, loaded[0].classes
    evaluator = _evaluator(options, data, real, features, samples, device, classes)
    while loaded:
        trained = loaded.pop(0)  # so that the device holds one at a time
        measured = measure_generator(
            evaluator,
            trained.generator.to(device),
            config.model.latent_dim,
            ema=trained.ema,
            seed=options.seed,
            title=f"step {trained.step}",
        )
        mark = "best\n" if trained.step == best else ""
        yield Row(f"{mark}step {trained.step:,}", {"step": trained.step}, measured)


def _which(path: Path, checkpoint: str) -> list[str]:
    if checkpoint != "all":
        return [checkpoint]
    if path.suffix == ".safetensors":
        raise UserError(f"{path} holds one generator; --checkpoint all needs a run folder")
    return checkpoints(path) or ["last"]  # reports that there is none


def _of_images(options: Evaluate, device: torch.device) -> Row:
    target, split = options.target, options.split or "train"
    with distributed.raise_together():
        side, channels = native_shape(target, split)
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
        images, real = load_images(here).images, load_images(there)
        if options.samples > len(images):
            raise UserError(f"samples = {options.samples}: {target} has only {len(images)} images")
        if options.samples:
            order = permutation(0, Stream.SUBSET, 0, len(images))
            images = images[order[: options.samples].sort().values.numpy()]
    evaluator = _evaluator(options, there, real, "inception", len(images), device)
    return Row("value", {}, evaluator.measure(drawn_from(images), title=target))


def _evaluator(
    options: Evaluate,
    data: DataConfig,
    real: ImageSet,
    usual_features: str,
    samples: int,
    device: torch.device,
    classes: int | None = None,
) -> Evaluator:
    """Return an evaluator of `samples` images; the options may replace `usual_features`."""
    return Evaluator(
        data,
        real,
        features=options.features or usual_features,
        metrics=options.metrics,
        samples=samples,
        weights=options.weights,
        device=device,
        classes=classes,
        ranks=distributed,
        allow_few=options.allow_few,
    )


COLUMNS = 4
"""Number of checkpoints side by side in a table of 80 columns."""


def _print(target: str, rows: list[Row]) -> None:
    for first in range(0, len(rows), COLUMNS):
        part = rows[first : first + COLUMNS]
        table = Table("metric", box=None)
        for row in part:
            table.add_column(row.heading, justify="right")
        for name in part[0].measured.numbers:
            table.add_row(name, *(_text(row.measured.numbers[name]) for row in part))
        print_table(table)
        print()
    protocol = rows[0].measured.protocol
    accuracy = protocol.test_accuracy
    tested = "" if accuracy is None else f" (test accuracy {accuracy:.2%})"
    print(
        f"{protocol.generated_images:,} images of {target}\n"
        f"against {protocol.real_images:,} of {protocol.real_source}, {protocol.real_split}, "
        f"at {protocol.resolution} x {protocol.resolution}\n"
        f"features: {protocol.features}{tested}\n"
        "±: standard error"
    )


def _text(estimate: Estimate) -> str:
    value, error = estimate
    negligible = error <= 1e-5 * abs(value)
    return f"{value:.4g}" if negligible else f"{value:.4g} ± {error:.1g}"
