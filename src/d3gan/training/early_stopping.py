"""The best evaluation of a run, and when to stop because evaluations do not improve."""

from typing import Any

from d3gan.config import EvalConfig
from d3gan.errors import UserError
from d3gan.evaluation.evaluator import Evaluator
from d3gan.evaluation.metrics.names import Better
from d3gan.evaluation.protocol import EvaluationProtocol, check_comparable
from d3gan.messages import warn
from d3gan.patience import evaluations_without_improvement
from d3gan.runs import RunFolder, current_row
from d3gan.tensor_files import BrokenFile
from d3gan.training import distributed
from d3gan.training.checkpoint import read_checkpoint


class Monitor:
    """Follows one metric through the evaluation rows of metrics.jsonl, in order.

    The best value is the best so far by any margin; patience asks for improvements beyond the
    standard error (`evaluations_without_improvement`). The evaluation of the initial generator, at
    step 0, counts for neither.
    """

    def __init__(self, name: str, better: Better, patience: int) -> None:
        self.name, self.patience = name, patience
        self.best: dict[str, Any] | None = None
        self._sign = -1 if better == "lower" else 1
        self._points: list[tuple[float, float]] = []
        self._waited = 0

    @property
    def lower_is_better(self) -> bool:
        """Whether lower values of the metric are better."""
        return self._sign < 0

    def update(self, row: dict[str, Any]) -> bool:
        """Return whether the value of a new row is the best so far.

        Raises UserError if its evaluation protocol is not that of the rows before.
        """
        if row["step"] == 0:
            return False
        if self.best is not None:
            whose = (f"step {self.best['step']}", f"step {row['step']}")
            check_comparable(self.best["protocol"], row["protocol"], whose)
        self._points.append((row[self.name], row[f"{self.name}_stderr"]))
        self._waited = evaluations_without_improvement(self._points, self._sign)
        is_best = self.best is None or self._sign * (row[self.name] - self.best[self.name]) > 0
        if is_best:
            self.best = row
        return is_best

    @property
    def exhausted(self) -> bool:
        """Whether `patience` evaluations in a row did not improve; never, if it is 0."""
        return 0 < self.patience <= self._waited

    def reason(self) -> str:
        """Return why training stops."""
        best = self.best and f" (best: {self.best[self.name]:.4g} at step {self.best['step']})"
        return (
            f"{self.name} has not improved by more than its standard error for {self.patience} "
            f"evaluations{best or ''}"
        )


def early_stop_message(step: int, total: int, saved_images: int, monitor: Monitor | None) -> str:
    """Return why training ends after `step` of `total` steps: by the monitor, or the callback."""
    why = "the callback asked for it"
    if monitor and monitor.exhausted:
        why = f"{monitor.reason()}; continue with a larger --eval.patience"
    images = f"{saved_images:,} images"
    return f"stopped early at step {step} of {total}, which saves {images}: {why}"


def make_monitor(wanted: EvalConfig, evaluator: Evaluator) -> Monitor:
    """Return the monitor of a new run: by default it follows the first metric that is measured."""
    name = wanted.monitor or evaluator.asked[0]
    return Monitor(name, evaluator.better[name], wanted.patience)


def resumed_monitor(run: RunFolder, monitor: Monitor, protocol: EvaluationProtocol) -> Monitor:
    """Update a new monitor with the run's evaluations so far, and return it.

    All ranks call this together. Raises UserError if `protocol`, by which the run will be evaluated
    from now on, differs from that of the last evaluation.
    """
    rows = [row for row in distributed.from_main(run.metrics) if row["kind"] == "eval"]
    kept = distributed.from_main(lambda: evaluation_of_best(run))
    if not rows and kept is not None:
        rows = [kept]  # metrics.jsonl was lost
    try:
        for row in rows:
            monitor.update(row)
        if rows:
            whose = (f"step {rows[-1]['step']}", "an evaluation with the current configuration")
            check_comparable(rows[-1]["protocol"], protocol.to_dict(), whose)
    except KeyError as error:
        raise UserError(
            f"an evaluation in {run.metrics_file} lacks {error}; repair that line"
        ) from error
    if monitor.best is not None and kept is None:
        if distributed.is_main():
            warn(
                f"{run.best_file} is missing or broken; the best evaluation from now on will be "
                "saved there"
            )
        monitor.best = None
    return monitor


def evaluation_of_best(run: RunFolder) -> dict[str, Any] | None:
    """Return the row of metrics for which best.pt was saved; None if it is missing or broken."""
    try:
        row: dict[str, Any] | None = read_checkpoint(run.best_file).get("evaluation")
    except BrokenFile:
        return None
    return current_row(row) if row else None
