"""Aggregation: how the generator weighs its discriminators. A new rule is one file here."""

import pkgutil
from importlib import import_module

from d3gan.gan.aggregation.base import AGGREGATIONS, Aggregation

for _module in pkgutil.iter_modules(__path__):  # each file registers its rules
    import_module(f"{__name__}.{_module.name}")

__all__ = ["AGGREGATIONS", "Aggregation"]
