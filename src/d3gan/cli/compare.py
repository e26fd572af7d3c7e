"""d3gan compare."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Table

from d3gan import config as configs
from d3gan.cli.parsing import check_output, parse
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, print_table, write_json
from d3gan.cli.report import concluded, tell_conclusion
from d3gan.cli.watching import watching
from d3gan.errors import Interrupted, UserError
from d3gan.study.launchers import Launcher, LocalLauncher, SubmititLauncher, local_slots
from d3gan.study.plan import Study, planned_steps
from d3gan.study.run import Entry, run_grid, survey
from d3gan.study.study_file import make_study, read_study

Words = tuple[str, ...]
Repeated = tyro.conf.UseAppendAction[tuple[Words, ...]]


@dataclass(frozen=True)
class Compare:
    """Train methods with several seeds, and tell which pays off and how sure."""

    study: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY.toml")] = ""
    """The study's file (docs/studies.md); flags go over its keys, or stand alone. What is finished
    is not trained again, and what was interrupted goes on."""
    name: str = ""
    """The study's name, and that of its folder in runs/."""
    methods: Words = ()
    """Presets or .toml files."""
    seeds: tuple[int, ...] = ()
    """One run of each method by each of them; not given: 0 1 2."""
    vary: Annotated[Repeated, tyro.conf.arg(metavar="KEY VALUE [VALUE ...]")] = ()
    """A key of the config and its values, each of which is tried with every method; may be
    repeated."""
    changes: Annotated[
        Repeated, tyro.conf.arg(name="set", metavar="KEY VALUE [KEY VALUE ...]")
    ] = ()
    """Keys of the config and their values in all runs; may be repeated."""
    baseline: str = ""
    """The method that the others are compared with; not given: the first."""
    metric: str = ""
    """What is compared; not given: the monitored metric."""
    out_dir: str = ""
    """The folder for the runs; not given: runs/NAME."""
    scale: float = 1.0
    """Shrink epochs and widths to this part (above 0, at most 1), in a folder of its own."""
    jobs: int = 0
    """Runs at once; 0: one for each CUDA device, or one; by slurm: all."""
    launcher: Literal["local", "slurm", "submitit-local"] = "local"
    """slurm: a job for each run; --slurm.KEY VALUE (partition, gpus_per_node, timeout_min ...)
    sets its parameters."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """The report; not given: NAME.html in the folder of the runs."""
    json: str = ""
    """Write the comparison to this file; -: to standard output, and nothing else."""
    dry_run: bool = False
    """Tell what would be trained, and do nothing."""


def compare(arguments: list[str]) -> int:
    """Run a study to its end and compare its methods."""
    rest, slurm = _slurm_parameters(arguments)
    options: Compare = parse(Compare, rest, "compare")
    check_json(options.json)
    if options.output:
        check_output(Path(options.output), (".html",))
    if options.jobs < 0:
        raise UserError(f"jobs = {options.jobs}: must be at least 1, or 0")
    study = planned(options)
    entries = survey(study)
    steps = {run.name: planned_steps(run) for run in study.runs}
    if options.dry_run:
        print_table(plan_table(entries, steps))
        return 0
    launcher = _launcher(options, study, slurm)
    with watching(launcher.slots) as show:
        stopped = run_grid(entries, launcher, show)
    _tell_end(entries, stopped, f"d3gan compare {shlex.join(arguments)}")
    report = Path(options.output or study.out_dir / f"{study.name}.html")
    comparison = concluded(
        [run.folder for run in study.runs],
        report,
        title=study.name,
        metric=study.metric,
        baseline=study.baseline,
    )
    write_json(comparison, options.json)
    if options.json != STANDARD_OUTPUT:
        tell_conclusion(comparison, report)
    return 0


# The plan


def planned(options: Compare) -> Study:
    """The study of the file, with the flags over it. Raises UserError."""
    values: dict[str, Any] = read_study(Path(options.study)) if options.study else {}
    for key in ("name", "methods", "seeds", "baseline", "metric", "out_dir"):
        if given := getattr(options, key):
            values[key] = list(given) if isinstance(given, tuple) else given
    for key, flags in (("set", _pairs(options.changes)), ("vary", _lists(options.vary))):
        if flags:
            values[key] = {**_flat(values.get(key, {})), **flags}
    return make_study(values, origin=options.study, scale=options.scale)


def _flat(table: Any) -> dict[str, Any]:
    return configs.flatten(table) if isinstance(table, Mapping) else {}


def _pairs(groups: Sequence[Words]) -> dict[str, Any]:
    """--set KEY VALUE KEY VALUE: values by key."""
    values = {}
    for words in groups:
        if not words or len(words) % 2:
            raise UserError(f"--set {' '.join(words)}: write --set KEY VALUE [KEY VALUE ...]")
        for key, word in zip(words[::2], words[1::2], strict=True):
            key = key.replace("-", "_")
            values[key] = configs.typed(key, word)
    return values


def _lists(groups: Sequence[Words]) -> dict[str, Any]:
    """--vary KEY VALUE VALUE: lists of values by key."""
    values: dict[str, Any] = {}
    for words in groups:
        if len(words) < 2:
            raise UserError(f"--vary {' '.join(words)}: write --vary KEY VALUE [VALUE ...]")
        key = words[0].replace("-", "_")
        values[key] = [configs.typed(key, word) for word in words[1:]]
    return values


def _slurm_parameters(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """The other arguments, and what --slurm.KEY VALUE says, whatever the keys are."""
    rest, parameters = [], {}
    words = iter(arguments)
    for word in words:
        if not word.startswith("--slurm."):
            rest.append(word)
            continue
        key, equals, value = word.removeprefix("--slurm.").partition("=")
        if not equals and (value := next(words, "")) == "":
            raise UserError(f"{word}: needs a value")
        parameters[key.replace("-", "_")] = _number(value)
    return rest, parameters


def _number(word: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def plan_table(entries: Sequence[Entry], steps: Mapping[str, int]) -> Table:
    """What would be trained; fits into 80 columns."""
    table = Table("run", box=None)
    for heading in ("steps", "images", "done", "state"):
        table.add_column(heading, justify="right")
    words = {"new": "new", "unfinished": "goes on", "finished": "finished", "diverged": "diverged"}
    total = 0
    for entry in entries:
        config, found = entry.run.config, entry.standing
        images = steps[entry.run.name] * config.images_per_step
        total += 0 if entry.state in ("finished", "diverged") else round(images * (1 - found.share))
        table.add_row(
            entry.run.name,
            f"{steps[entry.run.name]:,}",
            f"{images:,}",
            f"{found.share:.0%}",
            "held" if entry.run.folder.is_locked() else words[found.state],
        )
    table.caption = f"{len(entries)} runs; {total:,} images to go"
    table.caption_justify = "left"
    return table


# The runs


def _launcher(options: Compare, study: Study, slurm: Mapping[str, Any]) -> Launcher:
    if options.launcher == "local":
        return LocalLauncher(local_slots(options.jobs, [run.config for run in study.runs]))
    return SubmititLauncher(
        "slurm" if options.launcher == "slurm" else "local",
        study.out_dir / "logs" / "submitit",
        options.jobs or len(study.runs),
        {**study.slurm, **slurm},
    )


def _tell_end(entries: Sequence[Entry], stopped: int, command: str) -> None:
    """Say what did not end well. Raises Interrupted or UserError if there is nothing to compare."""
    for entry in entries:
        if entry.state in ("diverged", "failed"):
            line = f"d3gan: {entry.run.name} {entry.state}: {entry.why} (log: {entry.run.log})"
            print(line, file=sys.stderr, flush=True)
    if stopped:
        done = sum(entry.state in ("finished", "diverged") for entry in entries)
        raise Interrupted(
            stopped,
            f"stopped with {done} of {len(entries)} runs done; what the others reached is saved; "
            f"go on with '{command}'",
        )
    failed = [entry.run.name for entry in entries if entry.state == "failed"]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(entries)} runs failed ({', '.join(failed)}); mend what their "
            f"logs say and go on with '{command}': the others are kept"
        )
