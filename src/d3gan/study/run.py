"""The grid of a study's runs: what is finished is skipped, what was interrupted goes on."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Literal

from d3gan.config import to_toml
from d3gan.errors import UserError
from d3gan.runs import BUSY, write_text, writing
from d3gan.study.launchers import Job, Launcher
from d3gan.study.plan import PlannedRun, Study, differences
from d3gan.study.run_status import Standing, last_lines, standing
from d3gan.training.signals import handling

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_END = 60.0
"""That the runs have when a fault of ours ends the grid."""
TAKEN = (BUSY, "there is a run at")
"""What a run says that finds its folder taken by a process left over from a compare before."""

State = Literal["waiting", "running", "elsewhere", "finished", "diverged", "failed", "stopped"]


@dataclass
class Entry:
    """A run of the grid and how far it is."""

    run: PlannedRun
    metric: str
    standing: Standing = field(default_factory=Standing)
    state: State = "waiting"
    """elsewhere: written by a process that somebody else started; stopped: by a signal to us."""
    why: str = ""
    """What a run that failed or diverged said last."""
    _seen: tuple[int, int] = (0, 0)

    def look(self) -> None:
        """Read again what the run's folder says, if that may have changed."""
        with suppress(OSError, UserError):  # it is being written; the next look may do better
            now = self.run.folder.metrics_file.stat()
            if (now.st_mtime_ns, now.st_size) != self._seen:
                self._seen = (now.st_mtime_ns, now.st_size)
                self.judge()

    def judge(self) -> None:
        """Read what the run's folder says."""
        run = self.run
        self.standing = standing(run.folder, run.config, self.metric, run.log)

    def settle(self) -> None:
        """Judge a run that no process of ours works on. Raises UserError if it is damaged."""
        self.judge()
        found = self.standing.state
        self.state = found if found in ("finished", "diverged") else "waiting"
        if self.state == "diverged":
            self.why = "".join(last_lines(self.run.log, 1))

    def try_to_settle(self) -> None:
        """The same, but a damaged run has failed."""
        try:
            self.settle()
        except UserError as error:
            self.state, self.why = "failed", str(error)


def survey(study: Study) -> list[Entry]:
    """Every run and how far it is. Raises UserError if one that is there is not the planned one."""
    entries = []
    for run in study.runs:
        entry = Entry(run, study.metric)
        if run.folder.exists():
            differences(run)
        entry.settle()
        entries.append(entry)
    return entries


def run_grid(
    entries: Sequence[Entry],
    launcher: Launcher,
    show: Callable[[Sequence[Entry]], None] = lambda entries: None,
) -> int:
    """Train all runs of `survey` that are not finished; entries tell how they ended.

    `show` is called twice a second. One run's failure does not end the others. SIGINT and SIGTERM
    are passed on to the runs, which save; the signal is returned once they have ended, else 0.
    """
    for entry in entries:
        if entry.state == "waiting":
            run = entry.run
            with writing(run.log):
                run.log.parent.mkdir(parents=True, exist_ok=True)
                run.plan_file.parent.mkdir(parents=True, exist_ok=True)
            write_text(run.plan_file, to_toml(run.config))
    return _Grid(entries, launcher, show).run()


class _Grid:
    def __init__(
        self,
        entries: Sequence[Entry],
        launcher: Launcher,
        show: Callable[[Sequence[Entry]], None],
    ) -> None:
        self.entries, self.launcher, self.show = entries, launcher, show
        self.slots: list[tuple[Entry, Job | None] | None] = [None] * launcher.slots
        """What occupies each; without a job: a run that is waited for."""
        self.received = 0

    def run(self) -> int:
        with handling([signal.SIGINT, signal.SIGTERM], self._receive):
            try:
                while True:
                    self._look_at_slots()
                    if not self.received:
                        self._fill_slots()
                    self.show(self.entries)
                    waiting = any(entry.state == "waiting" for entry in self.entries)
                    if not any(self.slots) and (self.received or not waiting):
                        return self.received
                    time.sleep(SECONDS_BETWEEN_LOOKS)
            except BaseException:
                self._receive(signal.SIGTERM, None)
                self._wait()
                raise

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        for slot in self.slots:
            if slot and slot[1]:
                slot[1].stop(number)

    def _wait(self) -> None:
        """Until all runs have ended, or have had time enough for it."""
        jobs = [slot[1] for slot in self.slots if slot and slot[1]]
        deadline = time.monotonic() + SECONDS_TO_END
        while any(job.poll() is None for job in jobs) and time.monotonic() < deadline:
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _look_at_slots(self) -> None:
        for number, slot in enumerate(self.slots):
            if slot is None:
                continue
            entry, job = slot
            if job is not None and (status := job.poll()) is not None:
                self.slots[number] = None
                self._ended(entry, status)
            elif job is None and (self.received or not entry.run.folder.is_locked()):
                self.slots[number] = None
                entry.try_to_settle()
            else:
                entry.look()

    def _ended(self, entry: Entry, status: int) -> None:
        """Settle a run whose process, which was ours, ended."""
        entry.try_to_settle()
        if entry.state != "waiting":
            return
        said = " ".join(last_lines(entry.run.log, 1))
        if self.received:
            entry.state = "stopped"
        elif status == 0:
            entry.state = "finished"
        elif not any(words in said for words in TAKEN):  # those wait, or go on
            entry.state = "failed"
            entry.why = f"ended by signal {-status}" if status < 0 else said

    def _fill_slots(self) -> None:
        for number, slot in enumerate(self.slots):
            waiting = [entry for entry in self.entries if entry.state == "waiting"]
            if slot is not None or not waiting:
                continue
            # Runs that others write come first: they take up a device already.
            taken = next((e for e in waiting if e.run.folder.is_locked()), None)
            entry = taken or waiting[0]
            if taken:
                entry.state = "elsewhere"
                self.slots[number] = (entry, None)
                continue
            entry.try_to_settle()  # somebody may have trained it meanwhile
            if entry.state != "waiting":
                continue
            entry.state = "running"
            try:
                job = self.launcher.start(entry.run, number)
            except UserError as error:
                entry.state, entry.why = "failed", str(error)
                continue
            self.slots[number] = (entry, job)
            if self.received:  # before the job was where the signal's handler finds it
                job.stop(self.received)


def remaining_seconds(entries: Sequence[Entry], slots: int) -> float | None:
    """How long the rest will take, by the seconds that runs took so far; None if none did.

    A method that nothing is known of is taken to be like the mean of the others.
    """
    rates: dict[str, list[tuple[float, float]]] = {}
    for entry in entries:
        found = entry.standing
        if found.share:
            rates.setdefault(entry.run.method, []).append((found.seconds, found.share))
    if not rates:
        return None
    whole = {
        method: sum(seconds for seconds, _ in pairs) / sum(share for _, share in pairs)
        for method, pairs in rates.items()
    }
    unknown = sum(whole.values()) / len(whole)
    left = [
        (1 - entry.standing.share) * whole.get(entry.run.method, unknown)
        for entry in entries
        if entry.state in ("waiting", "running", "elsewhere")
    ]
    return max(sum(left) / slots, max(left, default=0.0))
