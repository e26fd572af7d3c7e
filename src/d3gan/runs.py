"""The run folder: everything that a run leaves behind, and who may write it.

    config.toml  environment.json  metrics.jsonl  samples/  checkpoints/  TensorBoard events

Nothing here needs torch, so that a report can be made where there is none.
"""

import json
import os
import shutil
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from d3gan.errors import UserError

BUSY = "another process is writing the run"
"""How the error begins that tells of it; who starts runs waits then."""


class RunFolder:
    """One run's folder. Its parts are made when they are written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.toml"
        self.environment_file = path / "environment.json"
        self.metrics_file = path / "metrics.jsonl"
        self.samples = path / "samples"
        self.checkpoints = path / "checkpoints"

    def exists(self) -> bool:
        return self.config_file.is_file()

    def require(self) -> None:
        """Raise UserError if this is no run folder."""
        if not self.exists():
            raise UserError(f"there is no run at {self.path} (no config.toml in it)")

    def config(self) -> dict[str, Any]:
        """The run's config as its file says. Raises UserError if this is no run folder."""
        self.require()
        return tomllib.loads(self.config_file.read_text(encoding="utf-8"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against other processes. Raises UserError if another one holds it.

        The folder is made for it, and removed again if nothing was put into it.
        """
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        with writing(self.path):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise UserError(f"{BUSY} {self.path}; wait until it ends") from None
        try:
            yield
        finally:
            lock.release()
            if [file.name for file in self.path.iterdir()] in ([], [".lock"]):
                shutil.rmtree(self.path, ignore_errors=True)
                with suppress(OSError):  # a folder that something was put into meanwhile stays
                    for folder in missing[1:]:
                        folder.rmdir()

    def is_locked(self) -> bool:
        """Whether another process holds the folder now."""
        file = self.path / ".lock"
        if not file.exists():
            return False
        try:
            with FileLock(file, timeout=0):
                return False
        except Timeout:
            return True

    def begin(self, config_toml: str, environment: dict[str, Any]) -> None:
        """Write the config, and add to environment.json where and when the run goes on."""
        with writing(self.path):
            self.samples.mkdir(parents=True, exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
            sessions = [*self.sessions(), environment]
            write_text(self.environment_file, json.dumps(sessions, indent=2) + "\n")
            write_text(self.config_file, config_toml)

    def sessions(self) -> list[dict[str, Any]]:
        """What environment.json says: an entry for each time the run was begun or continued."""
        try:
            text = self.environment_file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        sessions: list[dict[str, Any]] = _parsed(text, str(self.environment_file), list)
        return sessions

    def append_metrics(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows to metrics.jsonl; JSON is strict, so NaN is an error."""
        with writing(self.path), self.metrics_file.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)

    def metrics(self) -> list[dict[str, Any]]:
        """All rows of metrics.jsonl; a last line cut short by a crash is left out."""
        try:
            text = self.metrics_file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        whole = text.split("\n")[:-1]
        return [
            _parsed(line, f"{self.metrics_file} line {number}", dict, ("kind", "step"))
            for number, line in enumerate(whole, start=1)
        ]

    def forget_after(self, step: int) -> None:
        """Drop the rows and sample pictures of steps past `step`, which will be done again."""
        with writing(self.path):
            if self.metrics_file.exists():
                kept = [row for row in self.metrics() if row["step"] <= step]
                write_text(self.metrics_file, "".join(json.dumps(row) + "\n" for row in kept))
            for picture in numbered(self.samples, "png"):
                if step_of(picture) > step:
                    picture.unlink()
            # Broken, or the run would go on from them: out of the way, so that what is saved from
            # now on is the newest.
            for checkpoint in numbered(self.checkpoints, "pt"):
                if step_of(checkpoint) > step:
                    checkpoint.replace(checkpoint.with_name(f"{checkpoint.name}.broken"))

    def sample_file(self, step: int) -> Path:
        return self.samples / f"step-{step:08d}.png"

    def checkpoint_file(self, step: int) -> Path:
        return self.checkpoints / f"step-{step:08d}.pt"

    @property
    def best_file(self) -> Path:
        """The checkpoint with the best evaluation."""
        return self.checkpoints / "best.pt"


def _parsed(
    text: str,
    where: str,
    kind: type[dict[str, Any]] | type[list[Any]],
    required: tuple[str, ...] = (),
) -> Any:
    """JSON of this kind that has the required keys, or UserError naming the place."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{where} is damaged ({error}); mend or remove it") from error
    if not isinstance(value, kind) or any(key not in value for key in required):
        raise UserError(f"{where} is damaged (not what d3gan writes); mend or remove it")
    return value


def step_of(file: Path) -> int:
    """The step in the name of a file ``step-00001234.*``."""
    return int(file.stem.partition("-")[2])


def numbered(folder: Path, suffix: str) -> list[Path]:
    """The files ``step-00001234.suffix`` in a folder, by step; others there are ignored."""
    files = [f for f in folder.glob(f"step-*.{suffix}") if f.stem.partition("-")[2].isdecimal()]
    return sorted(files, key=step_of)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write (no room, no permission) into one line for the user."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write to {path}: {error.strerror or error}; "
            "make room or choose another place; what was written before is kept"
        ) from error


def write_bytes(file: Path, data: bytes) -> None:
    """Write a file whole or not at all: temporary file, flush to disk, rename."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(file: Path, text: str) -> None:
    """`write_bytes` for text."""
    write_bytes(file, text.encode("utf-8"))
