"""Commands that use the hub, loggers and the citation, with what they print when it goes wrong."""

import os
from pathlib import Path

import pytest
from tests.cli.cases import Case, check

NO_PACKAGES = """
import importlib.metadata as metadata
found = metadata.version
def version(name):
    if name in ("wandb", "trackio"):
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.version = version
"""
"""A sitecustomize.py that hides optional packages."""


def hide_packages(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(NO_PACKAGES)


WITHOUT_PACKAGES = {"PYTHONPATH": os.pathsep.join([".", os.environ.get("PYTHONPATH", "")])}

CASES = [
    Case(
        "logger-unknown",
        ("train", "demo-d3gan", "--train.loggers", "tensorbord"),
        "'tensorbord' is not a logger (did you mean 'tensorboard'?); allowed: tensorboard, ",
    ),
    *(
        Case(
            f"logger-{name}-missing",
            ("train", "demo-d3gan", "--train.loggers", "tensorboard", name),
            f"train.loggers = ['tensorboard', '{name}']: needs {name} ",
            prepare=hide_packages,
            environment=WITHOUT_PACKAGES,
            absent=("step",),
        )
        for name in ("wandb", "trackio")
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
    assert not (tmp_path / "runs").exists()
