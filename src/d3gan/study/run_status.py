"""How far a run is, judged from what its folder holds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from d3gan.config import Config
from d3gan.evaluation.metrics.names import metric_names
from d3gan.runs import RunFolder, numbered, step_of
from d3gan.training.early_stopping import Monitor
from d3gan.training.engines import total_steps

DIVERGED = "training diverged"
"""What a run says that ends because its numbers are not finite."""


@dataclass(frozen=True)
class Standing:
    """What is known of a run."""

    state: Literal["new", "unfinished", "finished", "diverged"] = "new"
    step: int = 0
    total: int | None = None
    """Steps of the whole run; None before its first row."""
    share: float = 0.0
    """Of the whole run, in [0, 1]."""
    seconds: float = 0.0
    """Spent in training and evaluation."""
    metric: str = ""
    value: float | None = None
    """Of the metric, at the last evaluation."""


def standing(run: RunFolder, config: Config, metric: str, log: Path) -> Standing:
    """How far `run` is on its way by `config`.

    `metric` is what to tell of evaluations ("": what the run monitors), `log` what its processes
    said. Raises UserError if the run's files are damaged.
    """
    if not run.exists():
        return Standing()
    rows = run.metrics()
    trained = [row for row in rows if row["kind"] == "train"]
    evaluations = [row for row in rows if row["kind"] == "eval"]
    if any(row["kind"] == "diverged" for row in rows) or DIVERGED in "".join(last_lines(log)):
        state: Literal["unfinished", "finished", "diverged"] = "diverged"
    else:
        state = "finished" if _is_finished(run, config, rows) else "unfinished"
    step, total, share, seconds = 0, None, 0.0, 0.0
    if trained:
        step, total = trained[-1]["step"], total_of(config, trained[-1])
        share = 1.0 if state == "finished" else min(1.0, step / total)
        seconds = trained[-1]["train_seconds"] + sum(row["eval_seconds"] for row in evaluations)
    name = metric or (evaluations[-1]["monitor"] if evaluations else "")
    value = evaluations[-1].get(name) if evaluations else None
    return Standing(state, step, total, share, seconds, name, value)


def total_of(config: Config, row: dict[str, Any]) -> int:
    """Steps of the whole run, from the images that a row of it counts."""
    return total_steps(config, round(row["images"] / row["epoch"]))


def _is_finished(run: RunFolder, config: Config, rows: Sequence[dict[str, Any]]) -> bool:
    """Whether `d3gan train` would find nothing more to do."""
    steps = [row["step"] for row in rows if row["kind"] == "train"]
    evaluations = [row for row in rows if row["kind"] == "eval"]
    saved = [step_of(file) for file in numbered(run.checkpoints, "pt")]
    if not steps or not saved or saved[-1] != steps[-1]:
        return False
    if config.eval.every_epochs and (not evaluations or evaluations[-1]["step"] != steps[-1]):
        return False
    total = total_of(config, next(row for row in reversed(rows) if row["kind"] == "train"))
    if steps[-1] >= total:
        return True
    return bool(evaluations) and is_exhausted(config, evaluations, evaluations[-1]["monitor"])


def is_exhausted(config: Config, evaluations: Sequence[dict[str, Any]], metric: str) -> bool:
    """Whether patience with the monitored metric ended the run before its last step."""
    if not config.eval.patience or not evaluations:
        return False
    better = metric_names(config.eval.features)[metric]
    monitor = Monitor(metric, better, config.eval.patience)
    for row in evaluations:
        value = row.get(metric)
        if isinstance(value, int | float) and math.isfinite(value):
            monitor.see({f"{metric}_stderr": 0.0, **row})
    return monitor.exhausted


def last_lines(log: Path, count: int = 5) -> list[str]:
    """The last lines of a log that say something; none if there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 10_000))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
