"""Images given from Python, seen from the command line."""

from pathlib import Path

import pytest
from tests.cli.cases import Case, check


def write_config(folder: Path) -> None:
    (folder / "mine.toml").write_text(
        'base = "demo-d3gan"\n[data]\nsource = "in-memory:0123456789abcdef"\n'
    )


CASES = [
    Case(
        "images-of-another-machine",
        ("train", "mine.toml"),
        "data.source = in-memory:0123456789abcdef: these images were given from Python and are "
        "no longer in the cache",
        prepare=write_config,
    ),
    Case(
        "images-of-another-machine-shown",
        ("data", "show", "in-memory:0123456789abcdef"),
        "give them again: d3gan.train(RUN, data=IMAGES)",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cases(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
