"""What is reported of a run: its best checkpoint, measured on draws that did not select it."""

import time
from typing import Any

from d3gan.evaluation.evaluator import Evaluator
from d3gan.evaluation.protocol import REPORT_SEEDS
from d3gan.runs import RunFolder, last_report
from d3gan.training import distributed
from d3gan.training.early_stopping import evaluation_of_best
from d3gan.training.inference import load
from d3gan.training.measuring import measure_draws


def report_row(run: RunFolder, evaluator: Evaluator) -> dict[str, Any] | None:
    """Return the row of kind "report": means over three draws of latents, and standard errors.

    Step, images and train_seconds are those of the best checkpoint. Return None if there is no such
    checkpoint, or if the run's last report is that of this checkpoint, by the same protocol. All
    ranks call this together. Raises UserError.
    """
    start = time.perf_counter()
    selected = distributed.from_main(lambda: evaluation_of_best(run))
    if selected is None:
        return None
    before = distributed.from_main(lambda: last_report(run.metrics()))
    with distributed.raise_together():
        best = load(run.path, "best")
    protocol = evaluator.protocol(seed=REPORT_SEEDS[0], ema=best.ema).to_dict()
    if before and (before["step"], before["protocol"]) == (selected["step"], protocol):
        return None
    measured = measure_draws(evaluator, best, REPORT_SEEDS, evaluator.features.device)
    progress = {key: selected[key] for key in ("step", "images", "epoch", "train_seconds")}
    return {
        "kind": "report",
        **progress,
        "eval_seconds": time.perf_counter() - start,
        "monitor": selected["monitor"],
        **measured.to_dict(),
    }
