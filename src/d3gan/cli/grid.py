"""Train the runs of a study from the command line: what is planned, progress, how they ended."""

import sys
from collections.abc import Sequence

from rich.table import Table

from d3gan.cli.printing import make_table
from d3gan.cli.watching import watching
from d3gan.errors import Interrupted, UserError
from d3gan.messages import note
from d3gan.study.kept import keep, restore
from d3gan.study.launchers import Launcher
from d3gan.study.plan import Study
from d3gan.study.run import Entry, run_grid, survey


def begin(study: Study) -> list[Entry]:
    """Return the runs of a study and their progress; runs that its results have are copied from
    there. Raises UserError if a run cannot be trained as planned."""
    if restored := restore(study):
        note(f"{len(restored)} runs that are over are taken from {study.results}")
    return survey(study)


def train_runs(study: Study, entries: Sequence[Entry], launcher: Launcher, command: str) -> None:
    """Train the runs that are not over, and show their progress.

    Rows of runs that are over are kept in the study's results as they come. `command` continues the
    study. Raises Interrupted if a signal stopped it.
    """
    kept: set[str] = set()
    with watching(launcher.slots) as show:

        def show_and_keep(entries: Sequence[Entry]) -> None:
            show(entries)
            over = [entry.run for entry in entries if entry.state in ("finished", "diverged")]
            if new := [run for run in over if run.name not in kept]:
                keep(study, new)
                kept.update(run.name for run in new)

        stopped = run_grid(entries, launcher, show_and_keep)
    check_stopped(entries, stopped, command)


def plan_table(entries: Sequence[Entry]) -> Table:
    """Return a table of the planned runs, at most 80 columns wide."""
    table = make_table("run", "steps", "images", "done", "state")
    for entry in entries:
        images = entry.total_steps * entry.run.config.images_per_step
        table.add_row(
            entry.run.name,
            f"{entry.total_steps:,}",
            f"{images:,}",
            f"{entry.share:.0%}",
            _planned_state(entry),
        )
    return table


def plan_summary(entries: Sequence[Entry]) -> str:
    """Return the numbers of runs and of images that remain to be trained."""
    pilots = sum(entry.run.pilot for entry in entries)
    fixing = f", {pilots} of them pilots, which fix the targets" if pilots else ""
    images = sum(
        round(entry.total_steps * entry.run.config.images_per_step * (1 - entry.share))
        for entry in entries
        if entry.state == "waiting"
    )
    return f"{len(entries)} runs{fixing}; {images:,} images to train"


def _planned_state(entry: Entry) -> str:
    """Return the state of a run before the study is continued."""
    if entry.run.folder.is_locked():
        return "running"
    if entry.state == "waiting":
        return "new" if entry.status is None else "continues"
    return entry.state


def check_stopped(entries: Sequence[Entry], stopped: int, command: str) -> None:
    """Print which runs diverged or failed. Raises Interrupted if a signal stopped the study."""
    for entry in entries:
        if entry.state in ("diverged", "failed"):
            message = f": {entry.message}" if entry.message else ""
            line = f"d3gan: {entry.run.name} {entry.state}{message} (log: {entry.run.log})"
            print(line, file=sys.stderr, flush=True)
    if stopped:
        done = sum(entry.state in ("finished", "diverged") for entry in entries)
        raise Interrupted(
            stopped,
            f"stopped with {done} of {len(entries)} runs done; the others are saved; "
            f"continue with `{command}`",
        )


def check_failed(entries: Sequence[Entry], command: str) -> None:
    """Raise UserError if runs failed."""
    failed = [entry.run.name for entry in entries if entry.state == "failed"]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(entries)} runs failed ({', '.join(failed)}); fix the causes in "
            f"their logs and continue with `{command}`; the other runs are kept"
        )
