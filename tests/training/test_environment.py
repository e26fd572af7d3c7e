"""What is recorded about the machine and the program of a session."""

import sys
from importlib.metadata import PackageNotFoundError

import pytest

from d3gan.config import Config
from d3gan.training.environment import environment, hardware


@pytest.mark.parametrize("program", ["/somewhere/bin/d3gan", "/somewhere/d3gan/__main__.py"])
def test_the_command_is_recorded_without_the_path_of_the_program(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "train", "tiny.toml"])
    assert environment(Config())["command"] == ["d3gan", "train", "tiny.toml"]


def test_the_hardware_is_part_of_the_environment() -> None:
    everything = environment()
    for name, value in hardware().items():
        assert name == "time" or value == everything[name]


def test_packages_that_are_not_installed_have_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """d3gan itself, if it runs from its source."""

    def version(package: str) -> str:
        if package == "d3gan":
            raise PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr("d3gan.training.environment.version", version)
    packages = hardware()["packages"]
    assert (packages["d3gan"], packages["torch"]) == (None, "1.0")
