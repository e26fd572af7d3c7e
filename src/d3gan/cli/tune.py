"""d3gan tune."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from d3gan.cli.parsing import check_output, config_flags, parse
from d3gan.cli.plan_tables import plan_summary, plan_table
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, make_table, print_table, write_json
from d3gan.errors import UserError
from d3gan.files import write_text, writing
from d3gan.shell import command_line
from d3gan.study.launchers import LocalLauncher, check_jobs, local_slots
from d3gan.study.saved_study import save
from d3gan.study.session import begin, check_failed, prepared, train_runs
from d3gan.study.study_file import read_study
from d3gan.study.tuning import Search, Trial, make_search, trials, tuned_toml

EXAMPLE = """\
Example of the table [tune] in STUDY.toml:

  [tune]
  trials = 8
  seeds = [200, 201]
  [tune.space]
  optim.lr_g = {low = 1e-4, high = 4e-3}
"""
"""Part of the help text."""


@dataclass(frozen=True)
class Tune:
    """Search for hyperparameters of a study's methods, with the same trials for each of them.

    The table [tune] of the study file says what is tried (docs/studies.md). Every
    configuration key is a flag: `--train.epochs 4` sets it in all runs.
    """

    study: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY.toml")]
    """Study file. Finished runs are not trained again, and interrupted runs continue."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """Where to write the best values; default: the study's key `tuned`, otherwise tuned.toml in the
    folder of its runs."""
    scale: float = 1.0
    """Factor on epochs and widths (above 0, at most 1); scaled runs have a separate folder."""
    jobs: int = 0
    """Number of runs that are trained at the same time; 0: one for each CUDA device, or one on the
    CPU."""
    json: str = ""
    """Write all trials as JSON to this file; with "-", print only that JSON."""
    dry_run: bool = False
    """List the runs and their progress without training."""


def tune(arguments: list[str]) -> int:
    """Train the trials of a study's methods, and write the best values of each method."""
    rest, changes = config_flags(arguments, lambda key: "." in key)
    options: Tune = parse(Tune, rest, "tune", epilog=EXAMPLE)
    check_json(options.json)
    check_jobs(options.jobs)
    values = read_study(Path(options.study))
    if changes:
        values["set"] = {**values.get("set", {}), **changes}
    search = make_search(values, origin=options.study, scale=options.scale)
    study = prepared(search.study)
    search = replace(search, study=study)
    named = values.get("tuned") if options.scale == 1 else ""
    output = Path(options.output or named or study.out_dir.parent / "tuned.toml")
    check_output(output, (".toml",))
    entries = begin(study)
    if options.dry_run:
        print_table(plan_table(entries))
        print(plan_summary(entries))
        return 0
    save(study)
    command = command_line("tune", *arguments)
    launcher = LocalLauncher(local_slots(options.jobs, [run.config for run in study.runs]))
    train_runs(study, entries, launcher, command)
    check_failed(entries, command)
    found = {method: trials(search, method) for method in search.methods}
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, tuned_toml({method: best(method, of) for method, of in found.items()}))
    write_json(_result(search, found), options.json)
    if options.json != STANDARD_OUTPUT:
        _print(found)
        print(f"best values: {output}")
    return 0


def best(method: str, of_method: Sequence[Trial]) -> Trial:
    """Return the best trial. Raises UserError if all of them diverged."""
    if of_method[0].value is None:
        raise UserError(
            f"all {len(of_method)} trials of {method} diverged; choose another space in [tune]"
        )
    return of_method[0]


def _result(search: Search, found: Mapping[str, Sequence[Trial]]) -> dict[str, Any]:
    return {
        "study": search.study.name,
        "seeds": sorted({run.config.seed for run in search.study.runs}),
        "trials": {method: [asdict(trial) for trial in of] for method, of in found.items()},
    }


def _print(found: Mapping[str, Sequence[Trial]]) -> None:
    """Print the best trial of each method beside the study's own choice."""
    table = make_table("method", "trial", "best", "own choice", "changes")
    for method, of_method in found.items():
        own = next(trial for trial in of_method if trial.number == 0)
        changes = ", ".join(f"{key} = {value}" for key, value in of_method[0].changes.items())
        table.add_row(
            method,
            f"{of_method[0].number} of {len(of_method)}",
            _value(of_method[0]),
            _value(own),
            changes or "none",
        )
    print_table(table)


def _value(trial: Trial) -> str:
    return "diverged" if trial.value is None else f"{trial.value:.4g}"
