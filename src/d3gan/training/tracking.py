"""The loggers of a run: each gets every row and sample grid once, and none can end the training."""

import io
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from PIL import Image

from d3gan.config import Config, to_dict
from d3gan.files import write_text, writing
from d3gan.loggers import LOGGERS
from d3gan.loggers.base import LoggedRun, Logger
from d3gan.messages import is_quiet, warn
from d3gan.runs import RunFolder

PREFIXES = {"train": "", "eval": "eval/", "report": "report/"}
"""Kinds of rows whose numbers are logged, and what precedes the names of these numbers."""


class Tracking:
    """Passes rows and sample grids to the loggers of `train.loggers`.

    The main rank alone calls `begin` and what follows. A logger that raises an exception is left
    out from then on, with one warning.
    """

    def __init__(self, config: Config, run: RunFolder, step: int) -> None:
        self._run, self._step, self._config = run, step, config
        self._loggers: dict[str, Logger] = {}
        self._id = ""
        self._logged: dict[str, dict[str, int]] = {}
        """The last step of each kind that a logger recorded, over all sessions of the run."""

    def begin(self) -> None:
        """Start the record of the run, or continue it. Raises UserError."""
        config = self._config
        self._loggers = {text: LOGGERS.build(text) for text in config.train.loggers}
        self._read()
        run = LoggedRun(self._run.path, config.name, self._id, self._step)
        for name in list(self._loggers):
            self._call(name, lambda logger: logger.begin(run, to_dict(config)))
        self._write()

    def row(self, row: Mapping[str, Any]) -> None:
        """Log the numbers of a row of metrics; those of each discriminator as ``name/0`` and on.

        Raises UserError.
        """
        kind, step = row["kind"], row["step"]
        if kind in PREFIXES:
            values = _numbers(row, PREFIXES[kind])
            self._log(kind, step, lambda logger: logger.scalars(step, values))

    def samples(self, step: int, picture: Image.Image) -> None:
        """Log a grid of samples. Raises UserError."""
        pixels = np.asarray(picture.convert("RGB"))
        self._log("samples", step, lambda logger: logger.images(step, pixels))

    def end(self, state: str) -> None:
        """Close the record; `state` is finished, interrupted, diverged or failed."""
        for name in list(self._loggers):
            self._call(name, lambda logger: logger.end(state))

    def _log(self, kind: str, step: int, call: Callable[[Logger], None]) -> None:
        """Call each logger that has not recorded this kind at this step yet."""
        for name, logger in list(self._loggers.items()):
            if logger.overwrites:
                self._call(name, call)
            elif step > (logged := self._logged.setdefault(name, {})).get(kind, -1):
                self._call(name, call)
                logged[kind] = step
        self._write()

    def _call(self, name: str, call: Callable[[Logger], None]) -> None:
        """Call a logger; leave it out from now on, with a warning, if it raises an exception."""
        try:
            # Standard output is for the results of a command.
            with redirect_stdout(io.StringIO() if is_quiet() else sys.stderr):
                call(self._loggers[name])
        except Exception as error:  # a service raises errors of several libraries
            del self._loggers[name]
            reason = next(iter(str(error).strip().splitlines()), "no details")
            warn(
                f"the logger {name} stopped ({type(error).__name__}: {reason}); the run is not "
                f"affected, and {self._run.metrics_file} has all numbers"
            )

    def _read(self) -> None:
        """Read the run's identifier and what was logged before, or start a new record."""
        file = self._run.loggers_file
        try:
            saved = json.loads(file.read_text(encoding="utf-8"))
            self._id, self._logged = str(saved["id"]), dict(saved["logged"])
        except FileNotFoundError:
            self._id = secrets.token_hex(4)
        except (OSError, ValueError, KeyError, TypeError):
            self._id = secrets.token_hex(4)
            warn(f"{file} is damaged; the loggers record the run as a new one from now on")

    def _write(self) -> None:
        """Write what `_read` reads, unless all loggers overwrite what they recorded."""
        if all(logger.overwrites for logger in self._loggers.values()):
            return
        text = json.dumps({"id": self._id, "logged": self._logged}, indent=2) + "\n"
        with writing(self._run.path):
            write_text(self._run.loggers_file, text, flush=False)


def _numbers(row: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Return the numbers of a row by the names under which they are logged."""
    values: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, float):
            values[prefix + name] = value
        elif isinstance(value, list) and name not in ("chosen", "seeds"):
            values |= {f"{prefix}{name}/{k}": x for k, x in enumerate(value) if x is not None}
    return values
