"""What a study's grid of runs looks like while it is trained, on stderr."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from d3gan import progress
from d3gan.study.run import Entry, remaining_seconds

ENDED = ("finished", "diverged", "failed", "stopped")
SHOWN_FIRST = ("running", "elsewhere", "failed", "diverged", "stopped", "waiting", "finished")
"""Where a terminal has too few lines for all runs."""
LINES_AROUND = 5
"""Of a terminal: headings and the line below the table."""

NAME_WIDTH = 36
"""What the other columns leave of 80."""

Show = Callable[[Sequence[Entry]], None]


@contextmanager
def watching(slots: int) -> Iterator[Show]:
    """What to call with the grid's entries: a live table on a terminal, else now and then a line.

    `slots` runs are trained at once.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(slots)
        return
    with Live(console=console, refresh_per_second=2) as live:

        def show(entries: Sequence[Entry]) -> None:
            live.update(grid_table(entries, slots, console.height - LINES_AROUND))

        yield show


def grid_table(entries: Sequence[Entry], slots: int, lines: int = 10**6) -> Table:
    """A line per run, no more than `lines`; fits into 80 columns."""
    table = Table(box=None, caption=headline(entries, slots), caption_justify="left")
    table.add_column("run", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in ("step", "metric"):
        table.add_column(heading, justify="right", no_wrap=True)
    by_interest = sorted(entries, key=lambda entry: SHOWN_FIRST.index(entry.state))
    shown = by_interest[: max(1, lines)]
    for entry in entries:
        if entry in shown:
            found = entry.standing
            table.add_row(
                _short(entry.run.name),
                entry.state,
                f"{found.step}/{found.total}" if found.total else "",
                _value(entry),
            )
    if len(shown) < len(entries):
        table.add_row(f"and {len(entries) - len(shown)} more")
    return table


def headline(entries: Sequence[Entry], slots: int) -> str:
    """How far the study is, and how long the rest will take."""
    done = sum(entry.state in ("finished", "diverged") for entry in entries)
    line = f"{done} of {len(entries)} runs done"
    seconds = remaining_seconds(entries, slots)
    if done < len(entries) and seconds:
        line += f", about {duration(seconds)} left"
    return line


def duration(seconds: float) -> str:
    """``"40 s"``, ``"12 min"``, ``"1 h 05 min"``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def _short(name: str) -> str:
    """The name with its middle left out if it is long: method and seed stand at its ends."""
    half = NAME_WIDTH // 2
    return name if len(name) <= NAME_WIDTH else f"{name[: half - 1]}…{name[-half:]}"


def _value(entry: Entry) -> str:
    found = entry.standing
    return "" if found.value is None else f"{found.metric} {found.value:.4g}"


class _Lines:
    def __init__(self, slots: int) -> None:
        self.slots, self.states = slots, dict[str, str]()
        self.last = time.monotonic()

    def __call__(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            before = self.states.get(entry.run.name)
            if before is not None and before != entry.state and entry.state in ENDED:
                parts = [f"{entry.state} at step {entry.standing.step}", _value(entry)]
                self._say(f"{entry.run.name}: {', '.join(part for part in parts if part)}")
            self.states[entry.run.name] = entry.state
        now = time.monotonic()
        if now - self.last >= progress.SECONDS_BETWEEN_LINES:
            self.last = now
            at_work = [
                f"{entry.run.name} {entry.standing.share:.0%}"
                for entry in entries
                if entry.state in ("running", "elsewhere")
            ]
            self._say(f"{headline(entries, self.slots)}; {', '.join(at_work)}")

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
