"""Objectives: what discriminators and generator minimise. A new objective is one file here."""

import pkgutil
from importlib import import_module

from d3gan.gan.objectives.base import (
    OBJECTIVES,
    JointObjective,
    Mean,
    Objective,
    SeparableObjective,
    Terms,
)

for _module in pkgutil.iter_modules(__path__):  # each file registers its objectives
    import_module(f"{__name__}.{_module.name}")

__all__ = ["OBJECTIVES", "JointObjective", "Mean", "Objective", "SeparableObjective", "Terms"]
