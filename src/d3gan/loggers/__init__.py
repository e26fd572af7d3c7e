"""Services and files that record a run. A new logger is one file and one line here."""

from typing import TYPE_CHECKING

from d3gan.registry import Registry

if TYPE_CHECKING:
    from d3gan.loggers.base import Logger

LOGGERS: "Registry[Logger]" = Registry(
    "logger",
    "d3gan.loggers.base:Logger",
    {
        "tensorboard": "d3gan.loggers.tensorboard:TensorBoard",
        "trackio": "d3gan.loggers.trackio:Trackio",
        "wandb": "d3gan.loggers.wandb:WandB",
    },
)
"""Loggers by name, imported when they are built."""
