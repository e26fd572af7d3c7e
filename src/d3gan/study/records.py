"""A run as a comparison reads it: its curves by seconds, images, steps, operations; its outcome."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Literal

from d3gan.config import Config
from d3gan.config_files import load_file
from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import COUNTS, Better, check_names, metric_names
from d3gan.run_status import Status
from d3gan.runs import RunFolder, last_report
from d3gan.study.statistics import selection_entropy, step_value_at, value_at

Axis = Literal["seconds", "images", "steps", "flops"]
AXES: tuple[Axis, ...] = ("seconds", "images", "steps", "flops")
"""Clocks of a run: seconds of training, real images shown to the discriminators, steps of the
generator, floating-point operations."""

Outcome = Literal["finished", "unfinished", "diverged"]


@dataclass(frozen=True)
class Metric:
    """A metric, and which direction is better."""

    name: str
    better: Better


_KEYS: Final[dict[Axis, str]] = {"seconds": "train_seconds", "images": "images", "steps": "step"}
"""Keys of a row of metrics.jsonl that hold the clocks."""

_WITH_PROTOCOL = ("eval", "report")
"""Kinds of rows of metrics.jsonl that hold metrics."""


@dataclass(frozen=True)
class Curve:
    """A metric over a run; evaluations whose value is not a finite number are left out."""

    x: dict[Axis, list[float]]
    """For each known axis the cost of every point; never decreasing."""
    values: list[float]
    is_count: bool = False
    """Whether the metric counts something: its curve is a step function."""

    def at(self, axis: Axis, here: float) -> float | None:
        """Return the value at a cost, interpolated linearly unless the metric is a count; None
        outside of the curve."""
        value = step_value_at if self.is_count else value_at
        return value(self.x.get(axis, []), self.values, here)

    def best(self, better: Better) -> int | None:
        """Return the index of the best point, the first of equals; None if there are no points."""
        if not self.values:
            return None
        return self.values.index(min(self.values) if better == "lower" else max(self.values))


@dataclass(frozen=True)
class Record:
    """What a run folder holds."""

    run: RunFolder
    config: Config
    status: Status
    rows: list[dict[str, Any]]
    sessions: list[dict[str, Any]] = field(default_factory=list)
    """Entries of environment.json; empty if that is missing or damaged."""
    damage: str = ""
    """What is wrong with environment.json; empty if nothing is."""

    @property
    def name(self) -> str:
        return self.run.path.name

    @property
    def seed(self) -> int:
        return self.config.seed

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        """Evaluations of the trained generator, in order."""
        return [row for row in self.rows if row["kind"] == "eval" and row["step"] > 0]

    @property
    def initial(self) -> dict[str, Any] | None:
        """The evaluation of the initial generator, at step 0; None if there is none."""
        rows = (row for row in self.rows if row["kind"] == "eval" and row["step"] == 0)
        return next(rows, None)

    @property
    def report(self) -> dict[str, Any] | None:
        """The best checkpoint, measured on draws of latents that did not select it; None if the
        run has not ended."""
        return last_report(self.rows)

    @property
    def last(self) -> dict[str, Any]:
        """The last row of training: it holds what the run spent. Without rows, the same keys by
        status.json."""
        rows = [row for row in self.rows if row["kind"] != "report"]
        step, seconds = self.status.step, self.status.train_seconds
        images = step * self.config.images_per_step
        return rows[-1] if rows else {"step": step, "images": images, "train_seconds": seconds}

    @property
    def lacks_rows(self) -> bool:
        """Whether the run finished after the last row that its folder holds."""
        return self.status.finished and self.last["step"] < self.status.step

    @property
    def monitored(self) -> str:
        """Name of the metric by which the run's best checkpoint is selected."""
        if self.evaluations and self.evaluations[0].get("monitor"):
            return str(self.evaluations[0]["monitor"])
        evaluation = self.config.eval
        return evaluation.monitor or check_names(evaluation.metrics, evaluation.features)[0]

    def metrics(self) -> dict[str, Better]:
        """Return the metrics of the run's evaluations, and for each which direction is better."""
        if not self.evaluations:
            return {}
        features = self.evaluations[0]["protocol"]["features"]
        held = {name for row in self.evaluations for name in row}
        return {name: better for name, better in metric_names(features).items() if name in held}

    def knows(self, axis: Axis) -> bool:
        """Return whether the run's cost on this axis is known."""
        return axis != "flops" or self.status.flops_per_step is not None

    def spent(self, axis: Axis, row: dict[str, Any]) -> float | None:
        """Return the cost up to a row of metrics; None if it is unknown."""
        if axis == "flops":
            flops_per_step = self.status.flops_per_step
            return None if flops_per_step is None else row["step"] * flops_per_step
        spent: float = row[_KEYS[axis]]
        return spent

    def curve(self, metric: str) -> Curve:
        """Return the values of a metric over the run."""
        rows = [row for row in self.evaluations if _finite(row.get(metric)) is not None]
        x = {
            axis: [spent for row in rows if (spent := self.spent(axis, row)) is not None]
            for axis in AXES
            if self.knows(axis)
        }
        return Curve(x, [float(row[metric]) for row in rows], metric in COUNTS)

    def budget(self, axis: Axis) -> float | None:
        """Return the cost up to the last evaluation; None without evaluations or if unknown."""
        return self.spent(axis, self.evaluations[-1]) if self.evaluations else None

    @property
    def outcome(self) -> Outcome:
        """How the run ended: diverged, finished (also by early stopping), or unfinished."""
        if self.status.state == "diverged":
            return "diverged"
        return "finished" if self.status.finished else "unfinished"

    def selected(self) -> list[float] | None:
        """Return the share of steps for which each discriminator was selected.

        None where no discriminator is selected: there is one only, or the rule mixes them.
        """
        counts = [0] * self.config.gan.discriminators
        for row in self._training():
            if row.get("chosen") is None:
                return None
            for k in row["chosen"]:
                counts[k] += 1
        steps = sum(counts)
        return [count / steps for count in counts] if steps and len(counts) > 1 else None

    def _training(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["kind"] == "train"]

    def summary(self, metric: Metric, *, collapsed: bool) -> dict[str, Any]:
        """Return plain values that describe the run; `collapsed` says whether it lost its modes."""
        last, outcome, shares = self.last, self.outcome, self.selected()
        seconds, curve = last["train_seconds"], self.curve(metric.name)
        best = curve.best(metric.better)
        memory = [row.get("peak_memory_bytes") for row in self._training()]
        at_best = {
            axis: curve.x[axis][best] if best is not None and axis in curve.x else None
            for axis in AXES
        }
        return {
            "path": str(self.run.path),
            "name": self.name,
            "seed": self.seed,
            "status": "collapsed" if outcome == "finished" and collapsed else outcome,
            "state": self.status.state,
            "total_steps": self.status.total_steps or None,
            "message": self.status.message,
            "images": last["images"],
            "steps": last["step"],
            "train_seconds": seconds,
            "flops": self.spent("flops", last),
            "reported": self.reported(),
            "best": None if best is None else {"value": curve.values[best], **at_best},
            "images_per_second": last["images"] / seconds if seconds else None,
            "epoch_seconds": seconds / last["epoch"] if last.get("epoch") else None,
            "peak_memory_bytes": max((m for m in memory if m is not None), default=None),
            "utilisation": self._utilisation(),
            "chosen": shares,
            "selection_entropy": selection_entropy(shares) if shares else None,
        }

    def reported(self) -> dict[str, Any] | None:
        """Return the metrics of `report`: means over the draws, their standard errors, and the
        number of draws. None if they were not measured."""
        if self.report is None:
            return None
        names = metric_names(self.report["protocol"]["features"])
        wanted = {*names, *(f"{name}_stderr" for name in names), "draws"}
        return {key: value for key, value in self.report.items() if key in wanted}

    def hardware(self) -> str | None:
        """Return what the run was trained on, by environment.json; None if that is missing."""
        places = []
        for session in self.sessions:
            device = ", ".join(session.get("gpus") or []) or session.get("cpu") or "an unknown CPU"
            processes = session.get("processes") or 1
            places.append(device if processes == 1 else f"{processes} processes on {device}")
        return ", then ".join(dict.fromkeys(places)) or None

    def _utilisation(self) -> float | None:
        """Return the mean over time of the rows that state it; None if none does."""
        busy, seconds, before = 0.0, 0.0, 0.0
        for row in self._training():
            duration, before = row["train_seconds"] - before, row["train_seconds"]
            if row.get("utilisation") is not None:
                busy, seconds = busy + row["utilisation"] * duration, seconds + duration
        return busy / seconds if seconds > 0 else None


def load(run: RunFolder) -> Record:
    """Return the record of a run.

    Raises UserError if its config.toml, status.json or metrics.jsonl is missing or damaged.
    """
    run.config()
    config, status = load_file(run.config_file), run.status()
    assert status is not None  # the run exists
    sessions, damage = [], ""
    try:
        sessions = run.sessions()
    except UserError as error:
        damage = str(error)
    record = Record(run, config, status, run.metrics(), sessions, damage)
    for row in record.rows:
        _check_row(row, str(run.metrics_file))
    for earlier, later in pairwise(record.evaluations):
        if any(later[key] < earlier[key] for key in _KEYS.values()):
            raise UserError(
                f"{run.metrics_file}: the evaluation at step {later['step']} spent less than the "
                f"one before it, at step {earlier['step']}; repair that line"
            )
    return record


def _check_row(row: dict[str, Any], file: str) -> None:
    """Raise UserError if a row lacks a cost, or an evaluation its protocol."""
    where = f"{file}: the row of kind {row['kind']} at step {row['step']}"
    for key in _KEYS.values():
        if key not in row or _finite(row[key]) is None:
            raise UserError(f"{where} lacks a number '{key}'; repair that line")
    protocol = row.get("protocol")
    features = protocol.get("features") if isinstance(protocol, dict) else None
    if row["kind"] in _WITH_PROTOCOL and not isinstance(features, str):
        raise UserError(f"{where} lacks 'protocol'; repair that line")


def _finite(value: Any) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) else None
