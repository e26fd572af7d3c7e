"""The status of a run: whether it is running or how it ended, and how far it came."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from d3gan.errors import Diverged
from d3gan.patience import evaluations_without_improvement

State = Literal["running", "finished", "stopped_early", "interrupted", "diverged", "failed"]

Row = Mapping[str, Any]
"""A row of metrics.jsonl."""


@dataclass(frozen=True)
class Status:
    """The state of a run, as in status.json."""

    state: State
    """stopped_early: the monitored metric did not improve for `eval.patience` evaluations, or a
    callback stopped training."""
    step: int
    """Steps done."""
    total_steps: int
    """Steps of the complete run; 0 if an older version left no row to compute it from."""
    train_seconds: float
    """Time spent in training, over all sessions."""
    pid: int
    """Process id of the main process; 0 if an older version trained the run."""
    host: str
    message: str
    """Why the run ended, in one line; empty if it is running or finished."""
    flops_per_step: float | None
    """Floating-point operations of one step; None if an older version trained the run."""

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.state in ("finished", "stopped_early")

    @property
    def over(self) -> bool:
        """Whether the run ended by itself: it is finished, or diverged."""
        return self.finished or self.state == "diverged"

    @property
    def share(self) -> float:
        """Share of all steps that are done, in [0, 1]."""
        return min(1.0, self.step / self.total_steps) if self.total_steps else 0.0


def state_after(error: BaseException | None) -> State:
    """Return the state of a run that ends with this exception; finished if there is none."""
    if error is None:
        return "finished"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return "diverged" if isinstance(error, Diverged) else "failed"


def status_of_older_version(
    config: Mapping[str, Any], rows: Sequence[Row], saved: Collection[int]
) -> Status:
    """Return the status of a run without status.json, from the other files of its folder.

    `config` is the content of config.toml, `rows` that of metrics.jsonl, and `saved` are the steps
    of the checkpoints.

    A run is over if its last row has a checkpoint, an evaluation if the run takes any, and is at
    the last step or at one where `eval.patience` was used up.
    """
    trained = [row for row in rows if row["kind"] == "train"]
    diverged = [row for row in rows if row["kind"] == "diverged"]
    evaluations = [row for row in rows if row["kind"] == "eval" and row["step"] > 0]
    state: State = "running"
    last: Row = trained[-1] if trained else {"step": 0}
    step, total = int(last["step"]), 0
    epochs = config.get("train", {}).get("epochs")
    if epochs and last.get("images") and last.get("epoch"):
        epoch_images = round(last["images"] / last["epoch"])
        total = math.ceil(epochs * epoch_images / (last["images"] // step))
    evaluation: dict[str, Any] = config.get("eval", {})
    evaluated = bool(evaluations) and evaluations[-1]["step"] == step
    if diverged:
        state, step = "diverged", int(diverged[-1]["step"])
    elif step and step in saved and (evaluated or not evaluation.get("every_epochs")):
        if 0 < total <= step:
            state = "finished"
        elif 0 < evaluation.get("patience", 0) <= _waited(evaluations):
            state = "stopped_early"
    return Status(
        state=state,
        step=step,
        total_steps=total,
        train_seconds=last.get("train_seconds", 0.0),
        pid=0,
        host="",
        message=str(diverged[-1].get("what", "")) if diverged else "",
        flops_per_step=None,
    )


def _waited(evaluations: Sequence[Row]) -> int:
    """Return how many of the last evaluations did not improve the monitored metric.

    Whether lower is better follows from which rows are marked as the best so far.
    """
    name = evaluations[0].get("monitor", "") if evaluations else ""
    measured = [row for row in evaluations if isinstance(row.get(name), int | float)]
    best = [row[name] for row in measured if row.get("best")]
    sign = math.copysign(1.0, best[1] - best[0]) if len(best) > 1 else 0.0
    points = [(row[name], row.get(f"{name}_stderr", 0.0)) for row in measured]
    return evaluations_without_improvement(points, sign)
