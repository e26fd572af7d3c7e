"""A run as a comparison sees it: its curve by images, seconds and operations, and how it ended."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from d3gan.config import Config
from d3gan.config_files import load_file
from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import Better, check_names, metric_names
from d3gan.runs import RunFolder
from d3gan.study.run_status import is_exhausted, total_of
from d3gan.study.statistics import selection_entropy, value_at

Axis = Literal["images", "seconds", "flops"]
AXES: tuple[Axis, ...] = ("images", "seconds", "flops")
"""What it costs to come to a quality: real images shown, `train_seconds`, operations of steps."""

Status = Literal["finished", "unfinished", "diverged"]


@dataclass(frozen=True)
class Curve:
    """A metric over a run; points whose value is not a finite number are left out."""

    x: dict[Axis, list[float]]
    """Each as long as `values`, and never decreasing."""
    values: list[float]

    def at(self, axis: Axis, here: float) -> float | None:
        """The value there, linearly between evaluations; None outside of them."""
        return value_at(self.x[axis], self.values, here)

    def best(self, better: Better) -> int | None:
        """Which point is the best, the first of equals; None if there are no points."""
        if not self.values:
            return None
        return self.values.index(min(self.values) if better == "lower" else max(self.values))


@dataclass(frozen=True)
class Record:
    """What a run folder holds."""

    run: RunFolder
    config: Config
    rows: list[dict[str, Any]]
    flops_per_step: float

    @property
    def name(self) -> str:
        return self.run.path.name

    @property
    def seed(self) -> int:
        return self.config.seed

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["kind"] == "eval"]

    @property
    def monitored(self) -> str:
        """The metric that the run's best checkpoint is kept by."""
        if self.evaluations and self.evaluations[0].get("monitor"):
            return str(self.evaluations[0]["monitor"])
        evaluation = self.config.eval
        return evaluation.monitor or check_names(evaluation.metrics, evaluation.features)[0]

    def metrics(self) -> dict[str, Better]:
        """The numbers that its evaluations hold, and which way is better."""
        if not self.evaluations:
            return {}
        features = self.evaluations[0]["protocol"]["features"]
        held = {name for row in self.evaluations for name in row}
        return {name: better for name, better in metric_names(features).items() if name in held}

    def spent(self, axis: Axis, row: dict[str, Any]) -> float:
        """What had been spent by the time of a row."""
        if axis == "flops":
            return float(row["step"] * self.flops_per_step)
        spent: float = row["images" if axis == "images" else "train_seconds"]
        return spent

    def curve(self, metric: str) -> Curve:
        rows = [row for row in self.evaluations if _finite(row.get(metric)) is not None]
        x = {axis: [self.spent(axis, row) for row in rows] for axis in AXES}
        return Curve(x, [float(row[metric]) for row in rows])

    def budget(self, axis: Axis) -> float | None:
        """What had been spent at the last evaluation; what came after was not looked at."""
        return self.spent(axis, self.evaluations[-1]) if self.evaluations else None

    @cached_property
    def status(self) -> Status:
        """Finished: it made all its steps, or patience ended it."""
        if any(row["kind"] == "diverged" for row in self.rows):
            return "diverged"
        exhausted = is_exhausted(self.config, self.evaluations, self.monitored)
        return "finished" if self._made_all_steps() or exhausted else "unfinished"

    def _made_all_steps(self) -> bool:
        last = self.rows[-1] if self.rows else {}
        if not last.get("epoch"):
            return False
        return bool(last["step"] >= total_of(self.config, last))

    def collapsed(self, classes: float | None) -> bool:
        """Whether the last evaluation found fewer classes than there are."""
        modes = _finite(self.evaluations[-1].get("modes")) if self.evaluations else None
        return classes is not None and modes is not None and modes < classes

    def chosen(self) -> list[float] | None:
        """How often each discriminator was the chosen one, as shares of the steps.

        None where there is no choice: one discriminator, or a rule that mixes.
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
        """Plain values of the run as a whole."""
        last, status, chosen = self.rows[-1], self.status, self.chosen()
        seconds, curve = last["train_seconds"], self.curve(metric)
        best = curve.best(better)
        memory = [row.get("peak_memory_bytes") for row in self._training()]
        return {
            "path": str(self.run.path),
            "name": self.name,
            "seed": self.seed,
            "status": "collapsed" if status == "finished" and self.collapsed(classes) else status,
            "images": last["images"],
            "steps": last["step"],
            "train_seconds": seconds,
            "flops": self.spent("flops", last),
            "best": None
            if best is None
            else {"value": curve.values[best], **{axis: curve.x[axis][best] for axis in AXES}},
            "images_per_second": last["images"] / seconds if seconds else None,
            "epoch_seconds": seconds / last["epoch"] if last.get("epoch") else None,
            "peak_memory_bytes": max((m for m in memory if m is not None), default=None),
            "utilisation": self._utilisation(),
            "chosen": chosen,
            "selection_entropy": selection_entropy(chosen) if chosen else None,
        }

    def hardware(self) -> str | None:
        """What it ran on, by environment.json; None if that is missing."""
        places = []
        for session in self.run.sessions():
            device = ", ".join(session.get("gpus") or []) or session.get("cpu") or "an unknown CPU"
            processes = session.get("processes") or 1
            places.append(device if processes == 1 else f"{processes} processes on {device}")
        return ", then ".join(dict.fromkeys(places)) or None

    def _utilisation(self) -> float | None:
        """Mean over time of those rows that tell it."""
        busy, seconds, before = 0.0, 0.0, 0.0
        for row in self._training():
            lasted, before = row["train_seconds"] - before, row["train_seconds"]
            if row.get("utilisation") is not None:
                busy, seconds = busy + row["utilisation"] * lasted, seconds + lasted
        return busy / seconds if seconds > 0 else None


_REQUIRED = ("images", "train_seconds")


def load(run: RunFolder, flops_per_step: Callable[[Config], float]) -> Record:
    """The record of a run. Raises UserError if it holds no evaluation, unless it diverged."""
    run.require()
    config = load_file(run.config_file)
    record = Record(run, config, run.metrics(), flops_per_step(config))
    for row in record.rows:
        required = (*_REQUIRED, "protocol") if row["kind"] == "eval" else _REQUIRED
        for key in required:
            if key not in row:
                raise UserError(
                    f"{run.metrics_file}: the row of kind {row['kind']} at step {row['step']} "
                    f"lacks '{key}'; mend or remove its line"
                )
    if not record.evaluations and record.status != "diverged":
        right = (
            f"let it go on with 'd3gan train {run.path}'"
            if config.eval.every_epochs
            else "train it anew with 'd3gan train ... --eval.every-epochs 1'"
        )
        raise UserError(f"{run.path} has no evaluation that could be compared; {right}")
    return record


def _finite(value: Any) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) else None
