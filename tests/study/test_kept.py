"""The results of a study: rows of runs that are over, which another machine continues from."""

import dataclasses
import json
from pathlib import Path

import pytest
from tests.stub import Stub

from d3gan.runs import RunFolder
from d3gan.study.kept import keep, restore
from d3gan.study.launchers import LocalLauncher
from d3gan.study.plan import Study
from d3gan.study.saved_study import load, save
from d3gan.study.session import begin, train_runs

ONE = LocalLauncher([{}])


@pytest.fixture
def kept_study(study: Study, tmp_path: Path) -> Study:
    return dataclasses.replace(study, results=tmp_path / "results")


def elsewhere(study: Study, folder: Path) -> Study:
    """Return the same study in another folder, as another machine has it."""
    runs = tuple(
        dataclasses.replace(run, config=dataclasses.replace(run.config, out_dir=str(folder)))
        for run in study.runs
    )
    return dataclasses.replace(study, runs=runs, out_dir=folder)


def test_a_study_continues_elsewhere_from_the_rows_of_its_runs(
    stub: Stub, kept_study: Study, tmp_path: Path
) -> None:
    stub.does({"b-seed-0": "diverge", "a-seed-1": "end"})
    save(kept_study)
    train_runs(kept_study, begin(kept_study), ONE, "again")
    assert kept_study.results
    kept = sorted(path.name for path in kept_study.results.iterdir())
    assert kept == ["a-seed-0", "b-seed-0", "b-seed-1", "study.json"]

    there = elsewhere(kept_study, tmp_path / "there")
    states = {entry.run.name: entry.state for entry in begin(there)}
    assert states == {
        "a-seed-0": "finished",
        "b-seed-0": "diverged",
        "a-seed-1": "waiting",
        "b-seed-1": "finished",
    }
    first = RunFolder(there.out_dir / "a-seed-0")
    assert first.metrics() == RunFolder(kept_study.out_dir / "a-seed-0").metrics()
    assert restore(there) == []


def test_the_rows_name_no_machine(stub: Stub, kept_study: Study) -> None:
    save(kept_study)
    train_runs(kept_study, begin(kept_study), ONE, "again")
    assert kept_study.results
    run = RunFolder(kept_study.results / "a-seed-0")
    status = run.status()
    assert status is not None
    assert (status.state, status.pid, status.host) == ("finished", 0, "")
    assert run.config()["out_dir"] == "runs"
    assert not run.checkpoints.exists()
    for file in kept_study.results.rglob("*.json"):
        assert "command" not in json.dumps(json.loads(file.read_text(encoding="utf-8")))
    assert load(kept_study.results) == load(kept_study.out_dir)


def test_a_study_without_results_keeps_nothing(stub: Stub, study: Study) -> None:
    save(study)
    train_runs(study, begin(study), ONE, "again")
    before = sorted(study.out_dir.parent.rglob("*"))
    keep(study, study.runs)
    assert restore(study) == []
    assert sorted(study.out_dir.parent.rglob("*")) == before
