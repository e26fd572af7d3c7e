"""The processes that evaluate together, as the evaluation sees them.

`d3gan.training.distributed` is an implementation for several processes (the module itself matches
the protocol); `SINGLE_PROCESS` is the one without a process group.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

from torch import Tensor

T = TypeVar("T")


class Ranks(Protocol):
    """Collective operations that evaluation needs; all ranks call each of them together."""

    def rank(self) -> int:
        """Return the number of this process."""

    def world_size(self) -> int:
        """Return the number of processes."""

    def is_main(self) -> bool:
        """Return whether this is the process that writes files and computes the numbers."""

    def sum_over_ranks(self, x: Tensor) -> None:
        """Replace `x` by its sum over ranks, in place."""

    def gather_rows(self, x: Tensor) -> Tensor:
        """Return the rows [B, D] of all ranks in the order of ranks; B may differ between them."""

    def from_main(self, work: Callable[[], T]) -> T:
        """Run `work` on the main rank and return its result, or raise its UserError, on all."""

    def raise_together(self) -> AbstractContextManager[None]:
        """Return a context after which all ranks raise the UserError that one of them raised."""


class _SingleProcess:
    """Evaluation in one process."""

    def rank(self) -> int:
        return 0

    def world_size(self) -> int:
        return 1

    def is_main(self) -> bool:
        return True

    def sum_over_ranks(self, x: Tensor) -> None:
        pass

    def gather_rows(self, x: Tensor) -> Tensor:
        return x

    def from_main(self, work: Callable[[], T]) -> T:
        return work()

    def raise_together(self) -> AbstractContextManager[None]:
        return nullcontext()


SINGLE_PROCESS: Ranks = _SingleProcess()
