"""Hands every row of metrics to a function of the caller, which may stop training."""

from collections.abc import Callable, Mapping
from typing import Any

from d3gan.errors import UserError
from d3gan.training import distributed

Row = Mapping[str, Any]
"""A row of metrics.jsonl."""

OnRow = Callable[[Row], bool]
"""Called on the main rank with a row that was just written; returns whether training shall stop."""


class Listener:
    """Calls a function with every row, on the main rank; all ranks learn that it asks to stop.

    What the function raises is kept until `raise_error`, because a checkpoint is saved first.
    """

    stops = False
    """Whether the function asked to stop or raised an exception."""

    def __init__(self, on_row: OnRow | None) -> None:
        self._on_row = on_row
        self._error: BaseException | None = None

    def hear(self, row: Row) -> None:
        """Call the function. All ranks call this together."""
        asked = False
        if self._on_row and distributed.is_main():
            try:
                asked = bool(self._on_row(row))
            except BaseException as error:
                asked, self._error = True, error
        self.stops |= bool(distributed.any_rank(int(asked)))

    def raise_error(self) -> None:
        """Raise what the function raised: its exception on the main rank, UserError on the others.

        All ranks call this together.
        """
        if self.stops and distributed.any_rank(int(self._error is not None)):
            raise self._error or UserError("the callback raised an exception on the main rank")
