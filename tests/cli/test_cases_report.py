"""Commands about reports, config.ini files, and output that the terminal cannot show."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.cases import Case, check
from tests.report.made_up import METHODS, study

LEGACY_C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


def two_methods(folder: Path) -> None:
    methods = dict(list(METHODS.items())[:2])
    study(folder / "study", methods, range(2), rows=6, evaluations=4, samples=4, sample_grids=2)


def ini(text: str, place: str = "D3GAN") -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        (folder / place).mkdir()
        (folder / place / "config.ini").write_text(text, encoding="utf-8")

    return write


CASES = [
    Case(
        "ascii-only-terminal", ("report", "study"), " +- ", 0, two_methods,
        environment={"PYTHONIOENCODING": "ascii"},
    ),
    Case("c-locale", ("report", "study"), " +- ", 0, two_methods, environment=LEGACY_C),
    Case(
        "code-page-of-windows", ("report", "study"), "report: ", 0, two_methods,
        environment={"PYTHONIOENCODING": "cp1252"},
    ),
    Case(
        "name-the-terminal-cannot-encode", ("train", "caf\u00e9"), "there is no preset 'cafe'",
        environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"},
    ),
    Case("one-column", ("train", "--help"), "-h, --help", 0, environment={"COLUMNS": "1"}),
    Case("five-columns", ("train", "--help"), "-h, --help", 0, environment={"COLUMNS": "5"}),
    Case(
        "columns-no-number", ("report", "--help"), "-h, --help", 0, environment={"COLUMNS": "abc"}
    ),
    Case("no-columns", ("report", "--help"), "-h, --help", 0, environment={"COLUMNS": "0"}),
    Case(
        "ini-with-unknown-key", ("train", "D3GAN/config.ini"),
        "unknown key nzz = '100' (did you mean 'nz'?)", prepare=ini("[parameters]\nnzz = 100\n"),
    ),
    Case(
        "ini-with-unknown-section", ("train", "D3GAN/config.ini"),
        "unknown section [params] (did you mean 'parameters'?)", prepare=ini("[params]\nnz = 100"),
    ),
    Case(
        "ini-with-unknown-type", ("train", "D3GAN/config.ini"),
        "type = 'stl10' (did you mean 'stl'?)", prepare=ini("type = stl10"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_command_from_outside(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
