"""Event files for TensorBoard in the run folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from d3gan.loggers.base import LoggedRun, Logger, Picture


@dataclass
class TensorBoard(Logger):
    """``tensorboard --logdir runs`` shows the numbers and the sample grids of all runs."""

    overwrites: ClassVar[bool] = True

    def begin(self, run: LoggedRun, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter  # importing torch takes seconds

        self._board = SummaryWriter(str(run.folder), purge_step=run.step + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def images(self, step: int, grid: Picture) -> None:
        self._board.add_image("samples", grid, step, dataformats="HWC")

    def end(self, state: str) -> None:
        self._board.close()
