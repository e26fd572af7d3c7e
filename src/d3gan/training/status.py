"""Keeps status.json up to date while a run is trained."""

import os
import platform
from contextlib import suppress

from d3gan import run_status
from d3gan.config import Config
from d3gan.errors import Diverged, ProcessesLost, UserError
from d3gan.run_status import Status, state_after
from d3gan.runs import RunFolder, numbered
from d3gan.training import distributed
from d3gan.training.flops import flops_per_step
from d3gan.training.logging import Clock
from d3gan.training.state import State


def diverged(reason: str, run: RunFolder) -> Diverged:
    """Return the error of a run that diverged, which names its last good checkpoint."""
    saved = numbered(run.checkpoints, "pt")
    last = f"the last good checkpoint is {saved[-1]}" if saved else "nothing was saved yet"
    return Diverged(
        f"{reason}: training diverged; {last}; start a new run, under another --name, with lower "
        "optim.lr_g and optim.lr_d or a stronger R1 penalty"
    )


class StatusFile:
    """Context manager that writes status.json when training starts, and when the block ends.

    Only the main rank writes, and none waits for another, which may be lost. Raises UserError.
    """

    early_stop = ""
    """Why training ends before its last step; empty if it does not."""

    def __init__(self, run: RunFolder, config: Config, state: State, total: int, clock: Clock):
        self.run, self.config, self.state, self.total, self.clock = run, config, state, total, clock
        self.flops: float | None = None

    def write(self, state: run_status.State = "running", message: str = "") -> None:
        """Replace status.json."""
        if distributed.is_main():
            self.run.write_status(
                Status(
                    state=state,
                    step=self.state.step,
                    total_steps=self.total,
                    train_seconds=self.clock.seconds,
                    pid=os.getpid(),
                    host=platform.node(),
                    message=message,
                    flops_per_step=self.flops,
                )
            )

    def __enter__(self) -> "StatusFile":
        with distributed.raise_together():
            if distributed.is_main():
                self.flops = self._counted_before() or flops_per_step(
                    self.config, self.state.classes
                )
            self.write()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.write("stopped_early" if self.early_stop else "finished", self.early_stop)
            return
        message = str(error)
        if isinstance(error, KeyboardInterrupt):
            message = message or "interrupted; steps after the last checkpoint are lost"
        elif not isinstance(error, UserError | ProcessesLost):
            message = f"{type(error).__name__}: {error}".splitlines()[0]
        with suppress(UserError):  # the error itself matters more
            self.write(state_after(error), message)

    def _counted_before(self) -> float | None:
        """Return the operations per step that an earlier session counted; None if none did."""
        with suppress(UserError):  # a damaged status.json is replaced
            status = self.run.status()
            return status.flops_per_step if status else None
        return None
