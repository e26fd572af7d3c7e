"""Commands about reports, config.ini files, and output that the terminal cannot show."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.cases import Case, check
from tests.report.made_up import METHODS, study

from d3gan.study.question import Question

LEGACY_C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


def two_methods(folder: Path) -> None:
    methods = dict(list(METHODS.items())[:2])
    study(folder / "study", methods, range(2), rows=6, evaluations=4, samples=4, sample_grids=2)


def damaged(file: str, text: str) -> Callable[[Path], object]:
    """Return what writes the study, with a damaged file in one of its runs."""

    def write(folder: Path) -> None:
        two_methods(folder)
        (folder / "study" / "mnist-d3gan-seed-1" / file).write_text(text, encoding="utf-8")

    return write


def unevaluated(folder: Path) -> None:
    methods = {"short": METHODS["mnist-d3gan"]}
    _, runs = study(folder / "study", methods, [0], rows=4, evaluations=1, question=Question())
    runs["short"][0].metrics_file.unlink()


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
        "report-of-a-run-without-rows", ("report", "study/short-seed-0"), "report: ", 0,
        unevaluated,
    ),
    Case(
        "empty-config", ("report", "study"), "warning: mnist-d3gan-seed-1 cannot be read: "
        "study/mnist-d3gan-seed-1/config.toml is damaged (it is empty)", 0,
        damaged("config.toml", ""), absent=("Left out: mnist-d3gan-seed-1",),
    ),
    Case(
        "empty-config-alone", ("report", "study/mnist-d3gan-seed-1"), "is damaged (it is empty)", 0,
        damaged("config.toml", ""),
    ),
    Case(
        "damaged-config", ("report", "study"), "config.toml: not valid TOML", 0,
        damaged("config.toml", "[train\n"),
    ),
    Case(
        "damaged-status", ("report", "study"), "warning: mnist-d3gan-seed-1 cannot be read: "
        "study/mnist-d3gan-seed-1/status.json is damaged", 0, damaged("status.json", "{"),
    ),
    Case(
        "damaged-metrics", ("report", "study"), "metrics.jsonl line 1 is damaged", 0,
        damaged("metrics.jsonl", "not JSON\n"),
    ),
    Case(
        "empty-environment", ("report", "study"), "warning: mnist-d3gan-seed-1 is shown without "
        "its environment: study/mnist-d3gan-seed-1/environment.json is damaged (it is empty)", 0,
        damaged("environment.json", ""),
    ),
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
