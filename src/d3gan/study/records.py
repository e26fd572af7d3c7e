"""A run as a comparison reads it: its curves by seconds, images, steps, operations; its outcome."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from d3gan.config import Config
from d3gan.config_files import load_file
from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import Better, check_names, metric_names
from d3gan.run_status import Status
from d3gan.runs import RunFolder, last_report
from d3gan.study.statistics import selection_entropy, value_at

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

_REQUIRED = dict.fromkeys(("eval", "report"), ("images", "train_seconds", "protocol"))
"""Keys that rows of metrics.jsonl must have, by kind."""


@dataclass(frozen=True)
class Curve:
    """A metric over a run; evaluations whose value is not a finite number are left out."""

    x: dict[Axis, list[float]]
    """For each known axis the cost of every point; never decreasing."""
    values: list[float]

    def at(self, axis: Axis, here: float) -> float | None:
        """Return the value at a cost, interpolated linearly; None outside of the curve."""
        return value_at(self.x.get(axis, []), self.values, here)

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
        return Curve(x, [float(row[metric]) for row in rows])

    def budget(self, axis: Axis) -> float | None:
        """Return the cost up to the last evaluation; None without evaluations or if unknown."""
        return self.spent(axis, self.evaluations[-1]) if self.evaluations else None

    @property
    def outcome(self) -> Outcome:
        """How the run ended: diverged, finished (also by early stopping), or unfinished."""
        if self.status.state == "diverged":
            return "diverged"
        return "finished" if self.status.finished else "unfinished"

    def collapsed(self, classes: float | None) -> bool:
        """Return whether the last evaluation found fewer than `classes` classes."""
        modes = _finite(self.evaluations[-1].get("modes")) if self.evaluations else None
        return classes is not None and modes is not None and modes < classes

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

    def summary(self, metric: str, better: Better, classes: float | None) -> dict[str, Any]:
        """Return plain values that describe the run."""
        last = [row for row in self.rows if row["kind"] != "report"][-1]
        outcome, shares = self.outcome, self.selected()
        seconds, curve = last["train_seconds"], self.curve(metric)
        best = curve.best(better)
        memory = [row.get("peak_memory_bytes") for row in self._training()]
        at_best = {
            axis: curve.x[axis][best] if best is not None and axis in curve.x else None
            for axis in AXES
        }
        return {
            "path": str(self.run.path),
            "name": self.name,
            "seed": self.seed,
            "status": "collapsed" if outcome == "finished" and self.collapsed(classes) else outcome,
            "images": last["images"],
            "steps": last["step"],
            "train_seconds": seconds,
            "flops": self.spent("flops", last),
            "best": None if best is None else {"value": curve.values[best], **at_best},
            "images_per_second": last["images"] / seconds if seconds else None,
            "epoch_seconds": seconds / last["epoch"] if last.get("epoch") else None,
            "peak_memory_bytes": max((m for m in memory if m is not None), default=None),
            "utilisation": self._utilisation(),
            "chosen": shares,
            "selection_entropy": selection_entropy(shares) if shares else None,
        }

    def hardware(self) -> str | None:
        """Return what the run was trained on, by environment.json; None if that is missing."""
        places = []
        for session in self.run.sessions():
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
    """Return the record of a run. Raises UserError if it neither has an evaluation nor diverged."""
    run.require()
    config, status = load_file(run.config_file), run.status()
    assert status is not None  # the run exists
    record = Record(run, config, status, run.metrics())
    for row in record.rows:
        for key in _REQUIRED.get(row["kind"], ("images", "train_seconds")):
            if key not in row:
                raise UserError(
                    f"{run.metrics_file}: the row of kind {row['kind']} at step {row['step']} "
                    f"lacks '{key}'; repair or delete its line"
                )
    if not record.evaluations and not (record.outcome == "diverged" and record.rows):
        right = (
            f"continue it with 'd3gan train {run.path}'"
            if config.eval.every_epochs
            else "retrain it with 'd3gan train ... --eval.every-epochs 1'"
        )
        raise UserError(f"{run.path} has no evaluation to compare; {right}")
    return record


def _finite(value: Any) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) else None
