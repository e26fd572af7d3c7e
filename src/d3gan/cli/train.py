"""d3gan train, d3gan presets."""

from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from rich.table import Table

from d3gan import config as configs
from d3gan import config_files
from d3gan.cli.parsing import old_flags, parse
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, print_table, write_json
from d3gan.config import Config
from d3gan.config_files import starting_point
from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import check_evaluation
from d3gan.report.summary import summary
from d3gan.runs import RunFolder
from d3gan.training import distributed, launching
from d3gan.training import trainer as loop


@dataclass(frozen=True)
class Train:
    """Train a new run, or go on with one. Every key of the config is a flag."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    processes: int = 1
    """Processes on this machine, over which the batch is divided. For several machines use
    torchrun ... -m d3gan train ..."""
    json: str = ""
    """Write a summary of the run to this file; -: to standard output, and nothing else."""


def train(arguments: list[str]) -> int:
    """Train or continue a run."""
    if not arguments or arguments[0].startswith("-"):
        if arguments and arguments[0] in ("-h", "--help"):
            parse(Train, ["--help"], "train PRESET|FILE|RUN", Train(Config()))
        raise UserError(
            f"name what to train first: d3gan train PRESET|FILE|RUN; "
            f"presets: {', '.join(config_files.presets())}"
        )
    start, resume = starting_point(arguments[0])
    flags, old = old_flags(arguments[1:])
    options: Train = parse(Train, flags, f"train {arguments[0]}", Train(start))
    config = configs.validate(configs.from_dict(old, options.config))
    check_evaluation(config.eval)
    if not config.name:
        raise UserError("name = '': must not be empty")
    if options.processes < 1:
        raise UserError(f"processes = {options.processes}: must be at least 1")
    check_json(options.json)
    if resume:
        configs.refuse_changes(start, config)
    resume = resume or _begun_by_this_launch(RunFolder(config.run_dir))
    if options.processes > 1:
        return launching.launch(options.processes, ["train", *_without_processes(arguments)])
    run = loop.train(config, resume=resume)
    if distributed.is_main() and run.metrics():
        result = summary(run)
        write_json(result, options.json)
        if options.json != STANDARD_OUTPUT:
            _tell(run, result)
    return 0


def _begun_by_this_launch(run: RunFolder) -> bool:
    """Whether torchrun --max-restarts starts these processes again, and the run goes on."""
    launch = distributed.launch_name()
    if launch is None or not run.exists():
        return False
    sessions = run.sessions()
    return bool(sessions) and sessions[-1].get("launch") == launch


def _without_processes(arguments: list[str]) -> list[str]:
    kept, skip = [], False
    for argument in arguments:
        if not skip and not argument.startswith("--processes"):
            kept.append(argument)
        skip = argument == "--processes"
    return kept


def _tell(run: RunFolder, result: dict[str, Any]) -> None:
    best = result["best"]
    found = f"{best['metric']} {best[best['metric']]:.4g} at step {best['step']}" if best else ""
    print(
        f"{run.path}: {result['steps']:,} steps, {result['images']:,} images in "
        f"{result['train_seconds']:.1f} s of training, {result['images_per_second']:.0f} images/s\n"
        f"samples: {run.samples}\n"
        + (f"best:    {found}: {run.best_file}\n" if best else "")
        + f"more:    d3gan sample {run.path} -n 64 -o grid.png"
    )


def presets(arguments: list[str]) -> int:
    """List the presets."""
    parse(_presets, arguments, "presets")
    return 0


def _presets() -> None:
    """List the ready-made configurations."""
    table = Table("preset", "data", "N", "rule", "width", "batch", "epochs", box=None)
    for name in config_files.presets():
        config = config_files.load_preset(name)
        table.add_row(
            name,
            f"{config.data.source} {config.data.resolution}x{config.data.resolution}",
            str(config.gan.discriminators),
            config.gan.aggregation if config.gan.discriminators > 1 else "-",
            str(config.model.generator_width),
            str(config.train.batch_size),
            f"{config.train.epochs:g}",
        )
    print_table(table)
    print("\nN: number of discriminators (1 is DCGAN). Train one: d3gan train NAME")
