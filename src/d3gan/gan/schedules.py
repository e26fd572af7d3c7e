"""Schedules: factors of a base value as functions of the real images seen by the discriminators."""

import math
from dataclasses import dataclass, fields

from d3gan.registry import Registry


class Schedule:
    """A factor of a configured value, at least 0, over a run.

    Factors are dimensionless: with ``optim.beta2 = 0.9``, ``cosine(end=1.1)`` ends at 0.99.
    """

    def factor(self, images: int, total: int) -> float:
        """Return the factor of the step that begins after `images` of the run's `total` images."""
        raise NotImplementedError

    @property
    def largest(self) -> float:
        """Upper bound of the factor; the configuration refuses base values that it takes too far.

        A schedule that can exceed 1 must override it.
        """
        return 1.0

    @property
    def depends_on_length(self) -> bool:
        """Whether `factor` depends on `total`; then a resumed run keeps its number of epochs."""
        return True


SCHEDULES: Registry[Schedule] = Registry("schedule", Schedule)


@SCHEDULES.register("constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """1, after a linear ramp from 0 over the first `warmup` images."""

    warmup: float = 0

    def __post_init__(self) -> None:
        _check_parameters(self)

    @property
    def depends_on_length(self) -> bool:
        return False

    def factor(self, images: int, total: int) -> float:
        return _warm_up(images, self.warmup)


@dataclass(frozen=True)
class Transition(Schedule):
    """From `start` to `end` within `images` images, then `end`.

    The first `warmup` images ramp linearly from 0 to `start`; the transition begins after them, so
    it ends at ``warmup + images``. ``images = 0``: it ends with the run.
    """

    start: float = 1.0
    end: float = 0.0
    images: float = 0
    warmup: float = 0

    def __post_init__(self) -> None:
        _check_parameters(self)

    @property
    def largest(self) -> float:
        return max(self.start, self.end)

    @property
    def depends_on_length(self) -> bool:
        return self.images == 0 and self.start != self.end

    def factor(self, images: int, total: int) -> float:
        length = self.images or total - self.warmup
        share = (images - self.warmup) / length if length > 0 else 1.0
        weight = self.weight(min(1.0, max(0.0, share)))
        return ((1 - weight) * self.start + weight * self.end) * _warm_up(images, self.warmup)

    def weight(self, share: float) -> float:
        """Return the weight of `end` after a share of the transition, in [0, 1]."""
        raise NotImplementedError


@SCHEDULES.register("linear")
@dataclass(frozen=True)
class Linear(Transition):
    """A straight line; see `Transition`."""

    def weight(self, share: float) -> float:
        return share


@SCHEDULES.register("cosine")
@dataclass(frozen=True)
class Cosine(Transition):
    """Half a period of a cosine (Loshchilov and Hutter 2017, eq. 5), then a hold; see `Transition`.

    R3GAN's learning rate (Huang et al. 2024) is ``cosine(end=0.25, images=20e6)``.
    """

    def weight(self, share: float) -> float:
        return 0.5 * (1 - math.cos(math.pi * share))


@SCHEDULES.register("linear_decay")
@dataclass(frozen=True)
class LinearDecay(Schedule):
    """1 up to the share `start` of the run, then linear decay to 0 at its end."""

    start: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.start < 1:
            raise ValueError(f"start must be at least 0 and below 1, not {self.start}")

    def factor(self, images: int, total: int) -> float:
        return min(1.0, max(0.0, (1 - images / total) / (1 - self.start)))


def _warm_up(images: int, warmup: float) -> float:
    return min(1.0, images / warmup) if warmup else 1.0


def _check_parameters(schedule: Constant | Transition) -> None:
    for field in fields(schedule):
        value = getattr(schedule, field.name)
        if not 0 <= value < math.inf:
            raise ValueError(f"{field.name} must be a finite number, at least 0, not {value}")
