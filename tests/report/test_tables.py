"""Tables of a comparison, as plain data."""

from pathlib import Path
from typing import Any

import pytest
from tests.report import made_up

from d3gan.report import tables
from d3gan.report.comparison import completed
from d3gan.report.tables import Cell
from d3gan.report.wording import UNKNOWN


@pytest.fixture
def compared(tmp_path: Path) -> dict[str, Any]:
    return made_up.study(tmp_path, seeds=range(2), rows=3, sample_grids=0)[0]


def looks(row: Any) -> list[str]:
    return [cell.look for cell in row if isinstance(cell, Cell)]


def test_the_best_mean_is_marked(compared: dict[str, Any]) -> None:
    for name, fd in (("mnist-dcgan", 3.0), ("mnist-d3gan", 1.0), ("mnist-d3gan-mean", 2.0)):
        compared["methods"][name]["fd"]["mean"] = fd
        compared["methods"][name]["cs"]["mean"] = fd
        compared["methods"][name]["modes"]["mean"] = 10.0
    rows = {row[0].text: row for row in tables.all_metrics(compared).rows}
    assert looks(rows["Fréchet distance (fd)"]) == ["plain", "plain", "best", "plain"]
    assert looks(rows["classifier score (cs)"]) == ["plain", "best", "plain", "plain"]
    assert looks(rows["modes covered (modes)"]) == ["plain"] * 4, "equal means have no best"


@pytest.mark.parametrize("status", ["failed", "interrupted", "diverged", "running", "collapsed"])
def test_every_status_but_success_is_a_problem(compared: dict[str, Any], status: str) -> None:
    assert tables.problems(compared) == []
    compared["runs"]["mnist-dcgan"][0]["status"] = "stopped_early"
    compared["runs"]["mnist-d3gan"][1]["status"] = status
    assert tables.problems(compared) == [
        f"1 of 2 runs of mnist-d3gan {'still ' * (status == 'running')}{status}"
    ]


def test_differences_have_a_column_for_each_method(compared: dict[str, Any]) -> None:
    (table,) = tables.differences(completed(compared))
    assert [head if isinstance(head, str) else head.text for head in table.heads] == [
        "key", "mnist-dcgan", "mnist-d3gan", "mnist-d3gan-mean",
    ]  # fmt: skip
    assert [looks(row) for row in table.rows] == [
        ["code", "differs", "differs"], ["code", "same", "differs"],
    ]  # fmt: skip


def test_old_runs_have_no_operations(compared: dict[str, Any]) -> None:
    for runs in compared["runs"].values():
        for run in runs:
            run["flops"] = run["best"]["flops"] = None
    heads = list(tables.all_runs(compared).heads)
    assert all(row[heads.index("compute")] == UNKNOWN for row in tables.all_runs(compared).rows)


def test_all_tables_of_an_empty_comparison(compared: dict[str, Any]) -> None:
    kept = {key: compared[key] for key in ("metric", "runs")}
    found = tables.study_tables(completed(kept))
    assert not found["protocol"].rows
    assert len(found["quality"].rows) == 3
