"""d3gan evaluate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from d3gan.cli.parsing import parse
from d3gan.cli.printing import (
    STANDARD_OUTPUT,
    check_json,
    in_lines,
    make_table,
    print_table,
    write_json,
)
from d3gan.evaluation.features.names import AUTO
from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.metrics.names import metric_names
from d3gan.evaluation.options import EvaluationOptions
from d3gan.evaluation.protocol import EvaluationProtocol
from d3gan.report.wording import METRIC_TITLES, plain

if TYPE_CHECKING:
    from d3gan.training.evaluation import Evaluated

COLUMNS = 4
"""Number of checkpoints side by side in a table of 80 columns."""


@dataclass(frozen=True)
class Evaluate(EvaluationOptions):
    """Measure a run's generator, or a set of images, against real images."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|IMAGES")]
    """Run: its folder, a .safetensors file of d3gan export, or
    hf://owner/name[@revision] of the Hugging Face hub.
    Images: a folder, a .npy or .npz file, a name (d3gan data list)."""
    json: str = ""
    """Write the numbers as JSON to this file; with "-", print only that JSON."""


def evaluate(arguments: list[str]) -> int:
    """Measure generated images."""
    options: Evaluate = parse(Evaluate, arguments, "evaluate")
    check_json(options.json)
    options.check()
    # Importing torch takes seconds: only now that the arguments are right.
    from d3gan.training import distributed
    from d3gan.training.evaluation import evaluate as measure
    from d3gan.training.parent import end_with_launcher

    end_with_launcher()
    results = measure(options)
    if distributed.is_main():
        values = [result.to_dict() for result in results]
        write_json(values if options.checkpoint == "all" else values[0], options.json)
        if options.json != STANDARD_OUTPUT:
            _print(results)
    return 0


def _print(results: "Sequence[Evaluated]") -> None:
    for first in range(0, len(results), COLUMNS):
        part = results[first : first + COLUMNS]
        table = make_table("metric", *map(_heading, part))
        for name in part[0].measured.numbers:
            table.add_row(name, *(_text(result.measured.numbers[name]) for result in part))
        print_table(table)
        print()
    _, protocol, seeds = results[0].measured
    accuracy = protocol.test_accuracy
    tested = "" if accuracy is None else f" (test accuracy {accuracy:.2%})"
    print(
        f"{protocol.generated_images:,} images of {results[0].target}\n"
        f"compared with {protocol.real_images:,} real images ({protocol.real_source}, "
        f"{protocol.real_split} split) at {protocol.resolution} x {protocol.resolution}\n"
        f"features: {protocol.features}{tested}\n{_draws(seeds)}\n"
        + _legend(list(results[0].measured.numbers), protocol)
    )


def _legend(names: Sequence[str], protocol: EvaluationProtocol) -> str:
    """Return what the metrics `names` are and which direction is better, in lines."""
    directions, lines = metric_names(AUTO), []
    for better in ("lower", "higher"):
        if of_direction := [name for name in names if directions[name] == better]:
            lines.append(f"{better} is better: {', '.join(of_direction)}")
    more = {"cs": ", the Inception Score with this classifier"}
    if protocol.real_modes:
        more["modes"] = f", of {protocol.real_modes:,}"
    lines += [
        f"{name}: {METRIC_TITLES[name]}{more.get(name, '')}"
        for name in names
        if name in METRIC_TITLES
    ]
    return "\n".join(in_lines(line, "  ") for line in lines)


def _draws(seeds: Sequence[int]) -> str:
    """Return what the numbers are means of, and what follows the sign ±."""
    if len(seeds) < 2:
        return "±: standard error"
    return (
        f"mean ± standard error over {len(seeds)} draws of latents "
        f"(seeds {seeds[0]} to {seeds[-1]})"
    )


def _heading(result: "Evaluated") -> str:
    if result.step is None:
        return "value"
    return f"best\nstep {result.step:,}" if result.is_best else f"step {result.step:,}"


def _text(estimate: Estimate) -> str:
    value, error = estimate
    negligible = error <= 1e-5 * abs(value)
    return plain(value, 4) if negligible else f"{plain(value, 4)} ± {plain(error, 1)}"
