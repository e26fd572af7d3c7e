"""Tables of the runs that a study plans."""

from collections.abc import Sequence

from rich.table import Table

from d3gan.cli.printing import make_table
from d3gan.study.run import Entry


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
