"""Train, measure and compare GANs with one, two (D3GAN) or N discriminators.

    run = d3gan.train("demo-d3gan", {"train.epochs": 2})
    generator = d3gan.load(run)
    images = generator.sample(64, seed=0)

The command line (``d3gan --help``) offers the same and more. All functions raise
`d3gan.UserError` for a mistake in their arguments. Importing the package is quick: PyTorch is
imported when it is first needed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from d3gan.api.comparison import Comparison, compare, compare_runs
    from d3gan.api.evaluation import evaluate
    from d3gan.api.loading import load
    from d3gan.api.run import Run
    from d3gan.api.training import Progress, train
    from d3gan.config import Config
    from d3gan.errors import Diverged, Interrupted, UserError
    from d3gan.training.generator import TrainedGenerator

    __version__: str

__all__ = [
    "Comparison",
    "Config",
    "Diverged",
    "Interrupted",
    "Progress",
    "Run",
    "TrainedGenerator",
    "UserError",
    "compare",
    "compare_runs",
    "evaluate",
    "load",
    "train",
]

_MODULES = {
    "api.comparison": ("Comparison", "compare", "compare_runs"),
    "api.evaluation": ("evaluate",),
    "api.loading": ("load",),
    "api.run": ("Run",),
    "api.training": ("Progress", "train"),
    "config": ("Config",),
    "errors": ("Diverged", "Interrupted", "UserError"),
    "training.generator": ("TrainedGenerator",),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("d3gan")
    if name not in _PLACES:
        raise AttributeError(f"module 'd3gan' has no attribute '{name}'")
    return getattr(import_module(f"d3gan.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
