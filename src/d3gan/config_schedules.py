"""Checks of the schedules: whether each has something to scale, within what is allowed."""

from collections.abc import Iterator, Mapping
from typing import Any

from d3gan.errors import UserError
from d3gan.fields import Range, Scales
from d3gan.gan.schedules import SCHEDULES, Constant, Schedule
from d3gan.schema import Config

Metadata = Mapping[str, tuple[Any, ...]]
"""The metadata of each key's annotation, by dotted key."""


def check_schedules(config: Config, values: Mapping[str, Any], metadata: Metadata) -> None:
    """Raise UserError if a schedule has nothing to scale or leads out of a key's range.

    `values` are those of `config`, by dotted key.
    """
    if config.optim.ema_half_life_images and config.optim.ema_half_life_steps:
        raise UserError(
            f"optim.ema_half_life_steps = {config.optim.ema_half_life_steps:g}: "
            f"optim.ema_half_life_images = {config.optim.ema_half_life_images:g} is set too; set "
            "one of the two"
        )
    if config.gan.skips_augmentations and not config.gan.augmentations:
        raise UserError(
            f"gan.augmentation_probability = {config.gan.augmentation_probability:g}, "
            f"gan.augmentation_schedule = {config.gan.augmentation_schedule!r}: there is no "
            "augmentation; set gan.augmentations, or leave both at 1.0 and 'constant'"
        )
    for key, schedule, scaled in _schedules(values, metadata):
        where = f"{key} = {values[key]!r}"
        if schedule != Constant() and not any(values[name] for name in scaled):
            raise UserError(f"{where}: there is nothing to scale; set {' or '.join(scaled)}")
        for name in scaled:
            allowed = next((item for item in metadata[name] if isinstance(item, Range)), None)
            if allowed and values[name] * schedule.largest > allowed.high:
                raise UserError(
                    f"{where}: {name} = {values[name]:g} times {schedule.largest:g} is "
                    f"{values[name] * schedule.largest:.7g}; it must be {allowed}"
                )


def schedules_of_whole_run(values: Mapping[str, Any], metadata: Metadata) -> list[str]:
    """Return the keys of schedules that depend on the number of epochs."""
    found = _schedules(values, metadata)
    return [key for key, schedule, _ in found if schedule.depends_on_length]


def _schedules(
    values: Mapping[str, Any], metadata: Metadata
) -> Iterator[tuple[str, Schedule, tuple[str, ...]]]:
    """Yield each schedule's key, the schedule, and the keys that it scales."""
    for key, items in metadata.items():
        for item in items:
            if isinstance(item, Scales):
                yield key, SCHEDULES.build(values[key]), item.keys
