"""Train the runs of a study: finished runs are skipped, interrupted runs continue."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

from d3gan.errors import UserError
from d3gan.run_status import Status
from d3gan.study.launchers import Job, Launcher
from d3gan.study.plan import PlannedRun, Study, is_done, planned_steps
from d3gan.training.signals import handling

SECONDS_BETWEEN_POLLS = 0.5
SECONDS_TO_END = 60.0
"""Time that the runs have to save when an error of this program ends the study."""
USER_ERROR = 2
"""Exit status of a run that refuses its arguments."""

State = Literal["waiting", "running", "elsewhere", "finished", "diverged", "failed", "stopped"]


@dataclass
class Entry:
    """A run of a study and its progress."""

    run: PlannedRun
    total_steps: int
    metric: str = ""
    """The metric to show; "": the one that the run monitors."""
    state: State = "waiting"
    """elsewhere: a process that another program started trains it; stopped: by a signal."""
    message: str = ""
    """Why the run failed or diverged."""
    status: Status | None = None
    value: tuple[str, float] | None = None
    """Name and value of the metric at the last evaluation."""
    seconds: float = 0.0
    """Time spent in training and evaluation."""

    @property
    def step(self) -> int:
        return self.status.step if self.status else 0

    @property
    def share(self) -> float:
        """Share of the planned steps that need not be trained any more, in [0, 1]."""
        return 1.0 if self.state == "finished" else min(1.0, self.step / self.total_steps)

    def refresh(self) -> None:
        """Read the run's status and, if it has changed, its last evaluation.

        Raises UserError if the run's files are damaged.
        """
        status = self.run.folder.status()
        if status == self.status:
            return
        self.status, self.value, self.seconds = status, None, 0.0
        if status is None:
            return
        rows = self.run.folder.metrics()
        self.seconds = status.train_seconds + sum(row.get("eval_seconds", 0.0) for row in rows)
        rows = [row for row in rows if row["kind"] == "eval"]
        last = rows[-1] if rows else {}
        name = self.metric or last.get("monitor", "")
        if isinstance(last.get(name), int | float):
            self.value = name, last[name]

    def settle(self) -> None:
        """Set the state of a run that no process of this study trains, from its status.

        Raises UserError if the run's files are damaged, or if it is not the planned run.
        """
        self.refresh()
        self.state = "waiting"
        if is_done(self.run):
            self.state = "finished"
        elif self.status and self.status.state == "diverged":
            self.state, self.message = "diverged", self.status.message

    def try_to_settle(self) -> None:
        """Do the same, but a damaged run has failed."""
        try:
            self.settle()
        except UserError as error:
            self.state, self.message = "failed", str(error)


def survey(study: Study) -> list[Entry]:
    """Return every run with its progress. Raises UserError if one cannot be trained as planned."""
    entries = []
    for run in study.runs:
        entry = Entry(run, planned_steps(run), study.question.metric)
        entry.settle()
        entries.append(entry)
    return entries


def run_grid(
    entries: Sequence[Entry],
    launcher: Launcher,
    show: Callable[[Sequence[Entry]], None] = lambda entries: None,
) -> int:
    """Train all runs of `survey` that are not finished; afterwards the entries say how they ended.

    `show` is called twice a second. The failure of a run does not end the others. SIGINT and
    SIGTERM are passed on to the runs, which save; the signal is returned once they have ended,
    otherwise 0.
    """
    return _Grid(entries, launcher, show).run()


@dataclass
class _Slot:
    """A run that occupies a slot of the launcher."""

    entry: Entry
    job: Job | None
    """None while the run is trained elsewhere."""
    before: Status | None
    """The status of the run when the job was started."""


class _Grid:
    def __init__(
        self, entries: Sequence[Entry], launcher: Launcher, show: Callable[[Sequence[Entry]], None]
    ) -> None:
        self.entries, self.launcher, self.show = entries, launcher, show
        self.slots: list[_Slot | None] = [None] * launcher.slots
        self.received = 0

    def run(self) -> int:
        with handling(self._receive):
            try:
                while True:
                    self._poll_slots()
                    if not self.received:
                        self._fill_slots()
                    self.show(self.entries)
                    waiting = any(entry.state == "waiting" for entry in self.entries)
                    if not any(self.slots) and (self.received or not waiting):
                        return self.received
                    time.sleep(SECONDS_BETWEEN_POLLS)
            except BaseException:
                self._receive(signal.SIGTERM, None)
                self._wait()
                raise

    def _jobs(self) -> list[Job]:
        return [slot.job for slot in self.slots if slot and slot.job]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        for job in self._jobs():
            job.stop(number)

    def _wait(self) -> None:
        """Wait until all jobs have ended, at most SECONDS_TO_END."""
        deadline = time.monotonic() + SECONDS_TO_END
        while any(job.poll() is None for job in self._jobs()) and time.monotonic() < deadline:
            time.sleep(SECONDS_BETWEEN_POLLS)

    def _poll_slots(self) -> None:
        for number, slot in enumerate(self.slots):
            if slot is None:
                continue
            entry, job = slot.entry, slot.job
            if job is not None and (exit_status := job.poll()) is not None:
                self.slots[number] = None
                self._ended(slot, exit_status)
            elif job is None and (self.received or not entry.run.folder.is_locked()):
                self.slots[number] = None
                entry.try_to_settle()
            else:
                with suppress(OSError, UserError):  # files that are being written
                    entry.refresh()

    def _ended(self, slot: _Slot, exit_status: int) -> None:
        """Set the state of a run whose job has ended."""
        entry = slot.entry
        entry.try_to_settle()
        if entry.state != "waiting":
            return
        if self.received:
            entry.state = "stopped"
        elif not _taken_by_another_process(slot, exit_status):
            entry.state = "failed"
            entry.message = _why_failed(slot, exit_status)

    def _fill_slots(self) -> None:
        for number, slot in enumerate(self.slots):
            waiting = [entry for entry in self.entries if entry.state == "waiting"]
            if slot is not None or not waiting:
                continue
            # Runs that other processes train come first, since they already use a device.
            taken = next((e for e in waiting if e.run.folder.is_locked()), None)
            entry = taken or waiting[0]
            if taken:
                entry.state = "elsewhere"
                self.slots[number] = _Slot(entry, None, entry.status)
                continue
            entry.try_to_settle()  # another process may have trained it meanwhile
            if entry.state != "waiting":
                continue
            entry.state = "running"
            try:
                job = self.launcher.start(entry.run, number)
            except UserError as error:
                entry.state, entry.message = "failed", str(error)
                continue
            self.slots[number] = _Slot(entry, job, entry.status)
            if self.received:  # the signal came before the slot held the job
                job.stop(self.received)


def _taken_by_another_process(slot: _Slot, exit_status: int) -> bool:
    """Return whether the job ended because another process had begun the run at the same moment.

    Either that process still holds the folder, or it was interrupted, and the job refused to begin
    a run that exists.
    """
    status = slot.entry.status
    refused = exit_status == USER_ERROR and slot.before is None
    interrupted = status is not None and status.state == "interrupted"
    return slot.entry.run.folder.is_locked() or (refused and interrupted)


def _why_failed(slot: _Slot, exit_status: int) -> str:
    """Return one line about the failure of a job."""
    status = slot.entry.status
    if exit_status < 0:
        return f"ended by signal {-exit_status}"
    if status and status != slot.before and status.state == "failed" and status.message:
        return status.message
    return last_line(slot.entry.run.log) or f"ended with exit status {exit_status}"


def last_line(log: Path) -> str:
    """Return the last line of a log that is not blank; "" if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 10_000))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def remaining_seconds(entries: Sequence[Entry], slots: int) -> float | None:
    """Return an estimate of the remaining time, from the time that the runs took so far.

    A method that has not begun is assumed to take the mean time of the others; None if none has.
    """
    rates: dict[str, list[tuple[float, float]]] = {}
    for entry in entries:
        if entry.share:
            rates.setdefault(entry.run.method, []).append((entry.seconds, entry.share))
    if not rates:
        return None
    complete = {
        method: sum(seconds for seconds, _ in pairs) / sum(share for _, share in pairs)
        for method, pairs in rates.items()
    }
    unknown = sum(complete.values()) / len(complete)
    left = [
        (1 - entry.share) * complete.get(entry.run.method, unknown)
        for entry in entries
        if entry.state in ("waiting", "running", "elsewhere")
    ]
    return max(sum(left) / slots, max(left, default=0.0))
