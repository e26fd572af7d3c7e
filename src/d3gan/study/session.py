"""Train the runs of a study that are not over: progress, and how they ended."""

import sys
from collections.abc import Sequence

from d3gan.errors import Interrupted, UserError
from d3gan.messages import note
from d3gan.study.kept import keep, restore
from d3gan.study.launchers import Launcher
from d3gan.study.plan import Study, check_precision, with_features
from d3gan.study.run import Entry, run_grid, survey
from d3gan.study.watching import watching


def prepared(study: Study) -> Study:
    """Return the study with the features that its runs use, which a note names.

    Raises UserError if the runs cannot be compared between machines.
    """
    study, line = with_features(study)
    check_precision(study)
    if line:
        note(line)
    return study


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
