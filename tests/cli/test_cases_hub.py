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

OFFLINE = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": "hub", "HF_TOKEN": ""}


def begin_run(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "config.toml").write_text('name = "run"')


CASES = [
    Case(
        "push-not-logged-in",
        ("push", "run", "owner/name"),
        "not logged in to the Hugging Face hub: log in with `hf auth login`, or set HF_TOKEN",
        prepare=begin_run,
        environment=OFFLINE,
    ),
    Case(
        "push-wrong-name",
        ("push", "run", "name"),
        "'name' is no name of a repository: must be owner/name",
        prepare=begin_run,
        environment=OFFLINE,
    ),
    Case("push-no-run", ("push", "none", "owner/name"), "there is no run at none (no such folder)"),
    Case(
        "hub-wrong-name",
        ("sample", "hf://owner"),
        "hf:/owner: must be hf://owner/name or hf://owner/name@revision",
    ),
    Case(
        "hub-wrong-name-evaluate", ("evaluate", "hf://owner"), "hf://owner: must be hf://owner/name"
    ),
    Case(
        "hub-offline",
        ("sample", "hf://owner/name"),
        "cannot download owner/name from the Hugging Face hub (no answer from http://127.0.0.1:9)",
        environment=OFFLINE,
    ),
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
