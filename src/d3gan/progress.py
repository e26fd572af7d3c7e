"""Show the progress of long work: a bar on a terminal, one line per minute elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from d3gan.messages import is_quiet

SECONDS_BETWEEN_LINES = 60.0


def duration(seconds: float) -> str:
    """Return seconds as a text such as ``40 s``, ``12 min`` or ``1 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def epoch_text(epoch: float) -> str:
    """Return a number of epochs for people, such as ``0.205``, ``25`` or ``1,200``."""
    return f"{epoch:.3g}" if epoch < 999.5 else f"{epoch:,.0f}"


class Bar:
    """Receives the progress of the work; this one shows nothing."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Add `count` finished units; `note` is shown beside the bar until the next one."""


class _Lines(Bar):
    def __init__(self, title: str, total: int, done: int) -> None:
        self.title, self.total, self.done, self.note = title, total, done, ""
        self.first, self.begun = done, time.monotonic()
        self.last = self.begun

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        self.note = note or self.note
        now = time.monotonic()
        if now - self.last >= SECONDS_BETWEEN_LINES:
            self.last = now
            parts = (f"{self.title} {self.done}/{self.total}", self.note, self._left(now))
            print(", ".join(filter(None, parts)), file=sys.stderr, flush=True)

    def _left(self, now: float) -> str:
        """Return the estimated remaining time in words; "" before anything is done."""
        done = self.done - self.first
        if not done or self.done >= self.total:
            return ""
        left = (now - self.begun) / done * (self.total - self.done)
        return f"about {duration(left)} left"


class _Rich(Bar):
    def __init__(self, progress: Progress, title: str, total: int, done: int) -> None:
        self.progress = progress
        self.task = progress.add_task(title, total=total, completed=done, note="")

    def advance(self, count: int = 1, note: str = "") -> None:
        if note:
            self.progress.update(self.task, note=note)
        self.progress.advance(self.task, count)


@contextmanager
def progress_bar(title: str, total: int, done: int = 0, *, silent: bool = False) -> Iterator[Bar]:
    """Show the progress of `total` units of work on stderr; `done` units are already finished."""
    console = Console(stderr=True)
    if silent or is_quiet():
        yield Bar()
    elif not console.is_terminal:
        yield _Lines(title, total, done)
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=console) as progress:
            yield _Rich(progress, title, total, done)
