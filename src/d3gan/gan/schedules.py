"""Schedules of the learning rates: a factor for both players."""

from dataclasses import dataclass
from typing import Protocol

from d3gan.registry import Registry


class Schedule(Protocol):
    """A factor of the learning rates over a run."""

    def factor(self, progress: float) -> float:
        """Return the factor after the share `progress` of the steps, in [0, 1)."""


SCHEDULES: Registry[Schedule] = Registry("schedule", Schedule)


@SCHEDULES.register("constant")
@dataclass(frozen=True)
class Constant:
    """1 in all steps."""

    def factor(self, progress: float) -> float:
        return 1.0


@SCHEDULES.register("linear_decay")
@dataclass(frozen=True)
class LinearDecay:
    """1 up to the share `start` of the run, then linear decay to 0 at its end."""

    start: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.start < 1:
            raise ValueError(f"start must be at least 0 and below 1, not {self.start}")

    def factor(self, progress: float) -> float:
        return min(1.0, max(0.0, (1 - progress) / (1 - self.start)))
