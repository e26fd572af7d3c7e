"""PyTorch, imported when it is first used.

The registries of `gan/` name what a configuration may say, and commands that only read names
(`d3gan presets`, `--help`, a mistyped flag) should not wait seconds for PyTorch. Modules that
define registered classes import `torch` and `functional` from here instead.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["functional", "torch"]

if TYPE_CHECKING:
    import torch
    from torch.nn import functional
else:

    class LazyModule:
        """Stands for a module and imports it on the first access to an attribute."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            value = getattr(import_module(self._name), attribute)
            setattr(self, attribute, value)
            return value

    torch = LazyModule("torch")
    functional = LazyModule("torch.nn.functional")
