"""What every logger does."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""[H, W, 3]."""


@dataclass(frozen=True)
class LoggedRun:
    """The run that a logger records."""

    folder: Path
    """The run folder."""
    name: str
    id: str
    """Identifier, eight hexadecimal digits. It stays the same when the run is resumed, so that a
    service continues its record."""
    step: int
    """Step at which this session starts; 0 for a new run."""


class Logger(ABC):
    """Records the metrics and samples of one run.

    The main process alone calls it: `begin` once, then `scalars` and `images`, then `end`. An
    exception is printed as a warning, and training continues without the logger.
    """

    overwrites: ClassVar[bool] = False
    """Whether `begin` removes what was recorded after the run's step. If so, the steps that a
    resumed run repeats are logged again; otherwise they are left out the second time."""

    @abstractmethod
    def begin(self, run: LoggedRun, config: Mapping[str, Any]) -> None:
        """Start or continue the record of a run; `config` is nested as in config.toml."""

    @abstractmethod
    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers by name, such as ``loss_g``, ``loss_d/0`` or ``eval/fd``.

        Steps do not always increase: the last report is of the step of the best checkpoint.
        """

    @abstractmethod
    def images(self, step: int, grid: Picture) -> None:
        """Record a grid of samples [H, W, 3]."""

    @abstractmethod
    def end(self, state: str) -> None:
        """Close the record. `state` is finished, interrupted, diverged or failed."""
