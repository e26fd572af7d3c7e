"""The run folder: the files of a run, its status, and the lock of the process that writes it.

    config.toml  environment.json  kernels.json  status.json  metrics.jsonl  samples/
    checkpoints/  loggers.json  TensorBoard events

Nothing here needs torch, so that reports can be made without it.
"""

import dataclasses
import json
import math
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

from filelock import FileLock, Timeout

from d3gan.errors import UserError
from d3gan.files import remove_temporary, write_text, writing
from d3gan.run_places import mistaken_for_run
from d3gan.run_status import State, Status, status_of_older_version
from d3gan.shell import command_line
from d3gan.text_files import parse_json, read_text, read_toml, unreadable

NO_LAST_STATUS = "the process ended without writing its status"


class RunFolder:
    """The folder of one run. Its files and subfolders are created when they are first written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.toml"
        self.environment_file = path / "environment.json"
        self.kernels_file = path / "kernels.json"
        self.status_file = path / "status.json"
        self.metrics_file = path / "metrics.jsonl"
        self.loggers_file = path / "loggers.json"
        self.samples = path / "samples"
        self.checkpoints = path / "checkpoints"

    def exists(self) -> bool:
        """Return whether a run was begun here."""
        return self.config_file.is_file()

    def require(self, command: str = "") -> None:
        """Raise UserError if this is not a run folder; it says what the path is.

        `command` is the command of d3gan that needs the run; "" in Python.
        """
        if not self.exists():
            why = "no config.toml in it" if self.path.exists() else "no such folder"
            mistaken = mistaken_for_run(self.path, command)
            raise UserError(mistaken or f"there is no run at {self.path} ({why})")

    def require_none(self) -> None:
        """Raise UserError if a run was begun here."""
        if self.exists():
            raise UserError(
                f"there is a run at {self.path} already; continue it with "
                f"`{command_line('train', self.path)}`, or choose another --name for the new one"
            )

    def config(self) -> dict[str, Any]:
        """Return the content of config.toml.

        Raises UserError if this is not a run folder, or if the file is damaged.
        """
        self.require()
        values = read_toml(read_text(self.config_file), str(self.config_file))
        if not values:
            raise _damaged(str(self.config_file), "it is empty")
        return values

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder within the block. Raises UserError if another process holds the lock.

        The folder is created if needed, and removed afterwards if nothing was written to it.
        """
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        with writing(self.path):
            try:
                lock.acquire(timeout=1)  # longer than `is_locked` holds it
            except Timeout:
                raise UserError(
                    f"another process is writing the run {self.path}; wait until it ends"
                ) from None
        try:
            yield
        finally:
            lock.release()
            if [file.name for file in self.path.iterdir()] in ([], [".lock"]):
                shutil.rmtree(self.path, ignore_errors=True)
                with suppress(OSError):  # raised for a folder that is not empty
                    for folder in missing[1:]:
                        folder.rmdir()

    def is_locked(self) -> bool:
        """Return whether a process holds the lock of the folder."""
        file = self.path / ".lock"
        if not file.exists():
            return False
        try:
            with FileLock(file, timeout=0):
                return False
        except Timeout:
            return True
        except OSError:  # a folder that nobody can write to
            return False

    def begin(self, config_toml: str, environment: dict[str, Any]) -> None:
        """Write config.toml, and append an entry for this session to environment.json."""
        with writing(self.path):
            self.samples.mkdir(parents=True, exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
            sessions = [*self.sessions(), environment]
            write_text(self.environment_file, json.dumps(sessions, indent=2) + "\n")
            write_text(self.config_file, config_toml)

    def sessions(self) -> list[dict[str, Any]]:
        """Return the entries of environment.json, one for each time the run was started."""
        text = _content(self.environment_file)
        if text is None:
            return []
        sessions: list[dict[str, Any]] = _parsed(text, str(self.environment_file), list)
        if not all(isinstance(session, dict) for session in sessions):
            raise _damaged(str(self.environment_file), "not what d3gan writes")
        return sessions

    def status(self) -> Status | None:
        """Return the status of the run; None if there is no run. Raises UserError if damaged.

        A run that says "running" while no process holds its lock is "interrupted".
        """
        if not self.exists():
            return None
        text = _content(self.status_file)
        if not text:  # empty after a power failure
            saved = {step_of(file) for file in numbered(self.checkpoints, "pt")}
            status = status_of_older_version(self.config(), self.metrics(), saved)
        else:
            keys = tuple(field.name for field in dataclasses.fields(Status))
            values = _parsed(text, str(self.status_file), dict, keys)
            status = Status(**{key: values[key] for key in keys})
            if status.state not in get_args(State):
                raise _damaged(str(self.status_file), f"unknown state {status.state!r}")
        if status.state == "running" and not self.is_locked():
            return dataclasses.replace(status, state="interrupted", message=NO_LAST_STATUS)
        return status

    def write_status(self, status: Status) -> None:
        """Replace status.json. The status of a running run is not flushed to the disk."""
        text = json.dumps(dataclasses.asdict(status), indent=2, allow_nan=False) + "\n"
        with writing(self.path):
            write_text(self.status_file, text, flush=status.state != "running")

    def append_metrics(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows to metrics.jsonl. JSON is strict: NaN raises ValueError."""
        with writing(self.path), self.metrics_file.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)

    def metrics(self) -> list[dict[str, Any]]:
        """Return all rows of metrics.jsonl, without a last line that a crash cut short."""
        text = _content(self.metrics_file) or ""
        complete = text.split("\n")[:-1]
        return [
            current_row(_parsed(line, f"{self.metrics_file} line {number}", dict, _ROW))
            for number, line in enumerate(complete, start=1)
        ]

    def last_trained_step(self, until: float = math.inf) -> int:
        """Return the step of the last row of training up to the step `until`; 0 without one."""
        steps = (row["step"] for row in self.metrics() if row["kind"] == "train")
        return max((step for step in steps if step <= until), default=0)

    def remove_temporary(self) -> None:
        """Remove what a killed process left half written. The caller holds the lock."""
        for file in (
            self.config_file,
            self.environment_file,
            self.kernels_file,
            self.status_file,
            self.metrics_file,
            self.checkpoints / "*",
            self.samples / "*",
        ):
            remove_temporary(file)

    def forget_after(self, step: int) -> None:
        """Remove the rows and sample grids of steps after `step`, which will be repeated."""
        with writing(self.path):
            if self.metrics_file.exists():
                kept = [row for row in self.metrics() if row["step"] <= step]
                write_text(self.metrics_file, "".join(json.dumps(row) + "\n" for row in kept))
            for picture in numbered(self.samples, "png"):
                if step_of(picture) > step:
                    picture.unlink()
            # Later checkpoints are broken, or the run would resume from them. Renaming them makes
            # the next checkpoint that is saved the newest.
            for checkpoint in numbered(self.checkpoints, "pt"):
                if step_of(checkpoint) > step:
                    checkpoint.replace(checkpoint.with_name(f"{checkpoint.name}.broken"))

    def sample_file(self, step: int) -> Path:
        """Return the path of the sample grid of a step."""
        return self.samples / f"step-{step:08d}.png"

    def checkpoint_file(self, step: int) -> Path:
        """Return the path of the checkpoint of a step."""
        return self.checkpoints / f"step-{step:08d}.pt"

    @property
    def initial_file(self) -> Path:
        """Path of the weights with which a run began that `model.init_from` started."""
        return self.checkpoints / "initial.pt"

    @property
    def best_file(self) -> Path:
        """Path of the checkpoint with the best evaluation."""
        return self.checkpoints / "best.pt"


_ROW = ("kind", "step")


_KERNEL_DISTANCE = {"kid": "kd", "kid_stderr": "kd_stderr"}
"""Names of the kernel distance, which was called kid with all features."""


def current_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of metrics with the keys of this version; rows of older versions are renamed."""
    if isinstance(old := row.get("contract"), dict):
        row = {("protocol" if key == "contract" else key): value for key, value in row.items()}
        row["protocol"] = {("version" if k == "protocol" else k): v for k, v in old.items()}
    protocol = row.get("protocol")
    if "kid" in row and isinstance(protocol, dict) and protocol.get("features") != "inception":
        row = {_KERNEL_DISTANCE.get(key, key): value for key, value in row.items()}
        if row.get("monitor") == "kid":
            row["monitor"] = "kd"
    return row


def last_report(rows: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the row of kind "report" that counts, the last one; None if there is none."""
    reports = [row for row in rows if row["kind"] == "report"]
    return reports[-1] if reports else None


def _content(file: Path) -> str | None:
    """Return the text of a file, None if there is none. Raises UserError if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(file, error) from error


def _parsed(
    text: str,
    where: str,
    kind: type[dict[str, Any]] | type[list[Any]],
    required: tuple[str, ...] = (),
) -> Any:
    """Return JSON of this kind with the required keys. Raises UserError naming the place."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise _damaged(where, str(error) if text.strip() else "it is empty") from error
    if not isinstance(value, kind) or any(key not in value for key in required):
        raise _damaged(where, "not what d3gan writes")
    return value


def _damaged(where: str, why: str) -> UserError:
    return UserError(f"{where} is damaged ({why}); repair it, or restore it from a copy")


def step_of(file: Path) -> int:
    """Return the step in the name of a file ``step-00001234.*``."""
    return int(file.stem.partition("-")[2])


def numbered(folder: Path, suffix: str) -> list[Path]:
    """Return the files ``step-00001234.suffix`` of a folder, sorted by step."""
    files = [f for f in folder.glob(f"step-*.{suffix}") if f.stem.partition("-")[2].isdecimal()]
    return sorted(files, key=step_of)
