"""d3gan train."""

import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from d3gan import config as configs
from d3gan import config_files, messages
from d3gan.cli.parsing import config_flags, parse, split_flags
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, write_json
from d3gan.config import Config
from d3gan.config_aliases import ALIASES
from d3gan.config_ini import method_note
from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import check_evaluation
from d3gan.report.summary import summary
from d3gan.report.wording import plain
from d3gan.run_places import check_initial
from d3gan.runs import RunFolder
from d3gan.shell import command_line


@dataclass(frozen=True)
class Train:
    """Train a new run, or resume one. Every key of the configuration is a flag."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    processes: int = 1
    """Number of processes on this machine that share the work. For several machines use
    torchrun ... -m d3gan train ..."""
    json: str = ""
    """Write a summary of the run as JSON to this file; with "-", print only that JSON."""


def train(arguments: list[str]) -> int:
    """Train a run, or resume it."""
    if not arguments or arguments[0].startswith("-"):
        if arguments and arguments[0] in ("-h", "--help"):
            parse(Train, ["--help"], "train PRESET|FILE|RUN", Train(Config()))
        raise UserError(
            "the first argument must be what to train: d3gan train PRESET|FILE|RUN; "
            "`d3gan presets` lists the presets"
        )
    start, resume = config_files.starting_point(arguments[0])
    words = [_full_flag(word) for word in arguments[1:]]
    flags, old = config_flags(words, lambda key: key in ALIASES)
    options: Train = parse(Train, flags, f"train {arguments[0]}", Train(start))
    config = configs.from_dict(configs.to_dict(options.config))  # checks every value
    config = configs.from_dict(configs.nested(old), config)
    check_evaluation(config.eval)
    if not config.name:
        raise UserError("name = '': must not be empty")
    if options.processes < 1:
        raise UserError(f"processes = {options.processes}: must be at least 1")
    check_json(options.json)
    config = configs.validate(config)
    if resume:
        configs.refuse_changes(start, config)
    elif config.model.init_from:
        check_initial(config.model.init_from)

    # Importing torch takes seconds: only now that the arguments are right.
    from d3gan.training import distributed, launching, trainer
    from d3gan.training.parent import end_with_launcher

    end_with_launcher()
    resume = resume or _started_by_this_launch(RunFolder(config.run_dir), distributed.launch_name())
    if options.processes > 1:
        rest, _ = split_flags(arguments, lambda key: key == "processes")
        return launching.launch(options.processes, ["train", *rest, *messages.flags()])
    if arguments[0].endswith(".ini") and os.environ.get("RANK", "0") == "0":
        messages.note(method_note(config, Path(arguments[0])))
    had_finished = resume and _has_finished(RunFolder(config.run_dir), start, config)
    run = trainer.train(config, resume=resume)  # prints nothing of its own if no step is left
    if distributed.is_main():
        if had_finished:
            messages.note(_finished_note(run, config))
        result = summary(run)
        write_json(result, options.json)
        if messages.is_quiet() and options.json != STANDARD_OUTPUT:
            print(run.path)
        elif options.json != STANDARD_OUTPUT:
            _print_summary(run, result)
    return 0


def _full_flag(word: str) -> str:
    """Return the flag of the key for which ``--init-from`` is short; other words as they are."""
    flag, equals, value = word.partition("=")
    return f"--model.init-from{equals}{value}" if flag == "--init-from" else word


def _started_by_this_launch(run: RunFolder, launch: str | None) -> bool:
    """Return whether `torchrun --max-restarts` restarts the processes that began this run."""
    if launch is None or not run.exists():
        return False
    sessions = run.sessions()
    return bool(sessions) and sessions[-1].get("launch") == launch


def _has_finished(run: RunFolder, saved: Config, config: Config) -> bool:
    """Return whether the run has finished, and `config` does not train it for longer than `saved`.

    False if its status is damaged.
    """
    with suppress(UserError):  # a damaged status.json is replaced
        status = run.status()
        finished = status is not None and status.state == "finished"
        return finished and config.train.epochs == saved.train.epochs
    return False


def _finished_note(run: RunFolder, config: Config) -> str:
    """Return why nothing was trained, and how to train longer."""
    epochs = config.train.epochs
    longer = f"{math.ceil(1.6 * epochs):g}"
    line = f"{run.path} finished at epoch {epochs:g}"
    if configs.may_change_on_resume("train.epochs", config):
        return f"{line}; use --train.epochs {longer} to train longer"
    return (
        f"{line}, and its schedules end there; a longer training is a new run, which may start "
        f"from these weights: `{command_line('train', 'PRESET', '--init-from', run.path)}`"
    )


def _print_summary(run: RunFolder, result: dict[str, Any]) -> None:
    best = result["best"]
    value = (
        f"{best['metric']} {plain(best[best['metric']], 4)} at step {best['step']}" if best else ""
    )
    if best and best["draws"]:
        value += f" (mean of {best['draws']} draws)"
    speed = result["images_per_second"] or 0.0
    not_last = best is not None and best["step"] != result["steps"]
    drawn = (run.path, *(("--checkpoint", "best") if not_last else ()))
    print(
        f"{run.path}: {result['steps']:,} steps, {result['images']:,} images in "
        f"{result['train_seconds']:.1f} s of training, {speed:.0f} images/s\n"
        f"samples: {run.samples}\n"
        + (f"best:    {value}: {run.best_file}\n" if best else "")
        + f"draw:    {command_line('sample', *drawn, '-n', 64, '-o', 'grid.png')}"
    )
