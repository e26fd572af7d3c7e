"""How to cite d3gan."""

import tomllib
from pathlib import Path

import pytest
import yaml

from d3gan import citation
from d3gan.cli.main import main

ROOT = Path(__file__).parents[1]


def test_the_file_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """After a change: d3gan cite --format cff > CITATION.cff."""
    assert main(["cite", "--format", "cff"]) == 0
    printed = capsys.readouterr().out
    assert printed == (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    found = yaml.safe_load(printed)
    assert {"cff-version", "message", "title", "authors"} <= set(found), "required by CFF 1.2.0"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (found["version"], found["license"]) == (project["version"], project["license"])
    assert found["authors"] == project["authors"]


def test_bibtex_names_both_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite"]) == 0
    printed = capsys.readouterr().out
    assert printed == citation.as_bibtex() + "\n"
    assert printed.count("@software{") == 2
    assert "  author = {Shukla, S. and Pitty, I.}," in printed
    assert "  title = {{d3gan: GANs with one, two or N discriminators}}," in printed
    assert "  author = {{The d3gan developers}}," in printed
    assert printed.count("{") == printed.count("}")


def test_references_in_the_style_of_the_apa(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite", "--format", "apa"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("The d3gan developers. (n.d.). d3gan: GANs with one, two or N ")
    assert second == (
        "Shukla, S., & Pitty, I. (n.d.). Distributed Training of Dual Discriminator GANs "
        "[Computer software]."
    )
