"""Progress of a study's runs on stderr."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from d3gan import progress
from d3gan.messages import is_quiet
from d3gan.progress import duration
from d3gan.study.run import Entry, remaining_seconds

ENDED = ("finished", "diverged", "failed", "stopped")
SHOWN_FIRST = ("running", "elsewhere", "failed", "diverged", "stopped", "waiting", "finished")
"""Order in which runs are shown if the terminal has too few lines for all."""
LINES_AROUND = 5
"""Lines of the terminal for the headings and the line below the table."""

NAME_WIDTH = 36
"""Width that the other columns leave of 80."""

Show = Callable[[Sequence[Entry]], None]


@contextmanager
def watching(slots: int) -> Iterator[Show]:
    """Yield a function that shows the entries it is given: as a live table on a terminal, otherwise
    as a line a minute and one for every run that ends.

    `slots` is the number of runs trained at once.
    """
    console = Console(stderr=True)
    if is_quiet():
        yield lambda entries: None
        return
    if not console.is_terminal:
        yield _Lines(slots)
        return
    with Live(console=console, refresh_per_second=2) as live:

        def show(entries: Sequence[Entry]) -> None:
            live.update(grid_table(entries, slots, console.height - LINES_AROUND))

        yield show


def grid_table(entries: Sequence[Entry], slots: int, lines: int = 10**6) -> Table:
    """Return a table with one line per run, at most `lines`, and at most 80 columns wide."""
    table = Table(box=None, caption=headline(entries, slots), caption_justify="left")
    table.add_column("run", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in ("step", "metric"):
        table.add_column(heading, justify="right", no_wrap=True)
    by_interest = sorted(entries, key=lambda entry: SHOWN_FIRST.index(entry.state))
    shown = by_interest[: max(1, lines)]
    for entry in entries:
        if entry in shown:
            table.add_row(
                _short(entry.run.name),
                entry.state,
                f"{entry.step}/{entry.total_steps}" if entry.status else "",
                _value(entry),
            )
    if len(shown) < len(entries):
        table.add_row(f"and {len(entries) - len(shown)} more")
    return table


def headline(entries: Sequence[Entry], slots: int) -> str:
    """Return the progress of the study and its estimated remaining time."""
    done = sum(entry.state in ("finished", "diverged") for entry in entries)
    line = f"{done} of {len(entries)} runs done"
    seconds = remaining_seconds(entries, slots)
    if done < len(entries) and seconds:
        line += f", about {duration(seconds)} left"
    return line


def _short(name: str) -> str:
    """Return the name without its middle if it is long; method and seed are at its ends."""
    half = NAME_WIDTH // 2
    return name if len(name) <= NAME_WIDTH else f"{name[: half - 1]}…{name[-half:]}"


def _value(entry: Entry) -> str:
    return "" if entry.value is None else "{} {:.4g}".format(*entry.value)


class _Lines:
    def __init__(self, slots: int) -> None:
        self.slots, self.states = slots, dict[str, str]()
        self.last = time.monotonic()

    def __call__(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            before = self.states.get(entry.run.name)
            if before is not None and before != entry.state and entry.state in ENDED:
                parts = [f"{entry.state} at step {entry.step}", _value(entry)]
                self._say(f"{entry.run.name}: {', '.join(part for part in parts if part)}")
            self.states[entry.run.name] = entry.state
        now = time.monotonic()
        if now - self.last >= progress.SECONDS_BETWEEN_LINES:
            self.last = now
            active = [
                f"{entry.run.name} {entry.share:.0%}"
                for entry in entries
                if entry.state in ("running", "elsewhere")
            ]
            self._say(f"{headline(entries, self.slots)}; {', '.join(active)}")

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
