"""The best evaluation of a run, and when to stop because none gets better."""

import math
from typing import Any

from d3gan.evaluation.metrics.names import Better
from d3gan.evaluation.protocol import check_comparable


class Monitor:
    """Follows one metric through the evaluation rows of metrics.jsonl, in order.

    A value improves on another if their difference is larger than its standard error, the root of
    the sum of both squares. `patience` evaluations in a row without improvement exhaust it; 0 of
    them never do.
    """

    def __init__(self, name: str, better: Better, patience: int) -> None:
        self.name, self.patience = name, patience
        self._sign = 1 if better == "lower" else -1
        self.best: dict[str, Any] | None = None
        self._improved: dict[str, Any] | None = None
        self._waited = 0

    def see(self, row: dict[str, Any]) -> bool:
        """Take note of a row; whether its value is the best so far.

        Raises UserError if its contract is not that of the rows before.
        """
        if self.best is not None:
            whose = (f"step {self.best['step']}", f"step {row['step']}")
            check_comparable(self.best["protocol"], row["protocol"], whose)
        is_best = self.best is None or self._gain(self.best, row) > 0
        if is_best:
            self.best = row
        error = f"{self.name}_stderr"
        if self._improved is None or self._gain(self._improved, row) > math.hypot(
            self._improved[error], row[error]
        ):
            self._improved, self._waited = row, 0
        else:
            self._waited += 1
        return is_best

    @property
    def exhausted(self) -> bool:
        """Whether training should stop."""
        return 0 < self.patience <= self._waited

    def _gain(self, old: dict[str, Any], new: dict[str, Any]) -> float:
        gain: float = self._sign * (old[self.name] - new[self.name])
        return gain
