"""Import the programs in benchmarks/, which are not part of the package."""

import importlib.util
from pathlib import Path
from types import ModuleType


def benchmark_program(name: str) -> ModuleType:
    """Return the module benchmarks/NAME.py."""
    path = Path(__file__).parents[1] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
