"""The versions of constraints.txt are within the ranges of pyproject.toml."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def test_every_requirement_can_be_met() -> None:
    """Otherwise pip refuses `pip install -c constraints.txt -e ".[EXTRA]"`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {
        canonicalize_name(line.partition("==")[0]): line.partition("==")[2]
        for line in lines
        if line and not line.startswith("#")
    }
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(text for extra in extras for text in extra)]
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        if name != "d3gan":
            assert requirement.specifier.contains(pinned[name], prereleases=True), requirement
