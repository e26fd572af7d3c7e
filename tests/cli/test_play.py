"""`d3gan play` before anything is served."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from d3gan import config as configs
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.runs import RunFolder


@pytest.fixture
def run(tiny: Config, tmp_path: Path) -> str:
    """Folder of a run without checkpoints."""
    RunFolder(tmp_path / "run").begin(configs.to_toml(tiny), {})
    return str(tmp_path / "run")


@pytest.mark.parametrize("installed", ["", "3.18.0", "5.49.1"])
def test_the_missing_extra_is_named(
    run: str,
    installed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def version(package: str) -> str:
        if not installed:
            raise PackageNotFoundError(package)
        return installed

    monkeypatch.setattr("d3gan.extras.version", version)
    assert main(["play", run]) == 2
    line = capsys.readouterr().err
    assert line.startswith("d3gan: error: d3gan play needs gradio 6 or newer, and ")
    assert line.endswith("pip install 'd3gan[play]'\n")


def test_a_run_without_checkpoints_is_one_line(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("d3gan.extras.version", lambda package: "6.31.0")
    assert main(["play", run]) == 2
    assert "no checkpoint yet" in capsys.readouterr().err
