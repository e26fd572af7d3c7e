"""d3gan tune, with a small program in the place of d3gan train."""

import json
import tomllib
from pathlib import Path

import pytest
from tests.program import written
from tests.stub import Stub, make_stub

from d3gan import config as configs
from d3gan.cli.main import main
from d3gan.config import Config

STUDY = """
methods = ["a.toml", "b.toml"]
seeds = [0, 1]
out_dir = "runs/mine"
results = "results/mine"
tuned = "tuned.toml"
[tune]
seeds = [7]
grid = [{optim.lr_g = 0.01}]
"""


@pytest.fixture
def stub(tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    monkeypatch.chdir(tmp_path)
    config = configs.from_dict({"eval": {"every_epochs": 1.0}, "train": {"device": "cpu"}}, tiny)
    for name in "ab":
        written(configs.from_dict({"name": name}, config), tmp_path)
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    return make_stub(tmp_path, monkeypatch)


def test_trials_are_trained_and_the_best_is_written(
    stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.does({"b-trial-0-seed-7": "diverge"})
    assert main(["tune", "study.toml", "--json", "trials.json"]) == 0
    trained = [name for event, name in stub.events() if event == "begins"]
    assert trained == [f"{method}-trial-{n}-seed-7" for n in (0, 1) for method in "ab"]
    assert tomllib.loads((tmp_path / "tuned.toml").read_text(encoding="utf-8")) == {
        "a": {},
        "b": {"optim.lr_g": 0.01},
    }
    written = json.loads((tmp_path / "trials.json").read_text(encoding="utf-8"))
    assert written["trials"]["b"] == [
        {"number": 1, "changes": {"optim.lr_g": 0.01}, "value": pytest.approx(9.5)},
        {"number": 0, "changes": {}, "value": None},
    ]
    output = capsys.readouterr().out.splitlines()
    assert [line.split() for line in output] == [
        ["method", "trial", "best", "own", "choice", "changes"],
        ["a", "0", "of", "2", "9.5", "9.5", "none"],
        ["b", "1", "of", "2", "9.5", "diverged", "optim.lr_g", "=", "0.01"],
        ["best", "values:", "tuned.toml"],
    ]
    kept = sorted(path.name for path in (tmp_path / "results" / "mine" / "tune").iterdir())
    assert kept == [*(f"{m}-trial-{n}-seed-7" for m in "ab" for n in (0, 1)), "study.json"]

    assert main(["tune", "study.toml"]) == 0  # nothing is trained again
    assert len(stub.events()) == 8 - 1
    assert main(["compare", "study.toml", "--dry-run"]) == 0


def test_the_study_needs_its_search_first(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "study.toml", "--dry-run"]) == 2
    assert capsys.readouterr().err == (
        "d3gan: error: study.toml: tuned = 'tuned.toml': there is no such file; "
        "'d3gan tune' of the study writes it\n"
    )


def test_all_trials_of_a_method_diverge(
    stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.does({f"b-trial-{number}-seed-7": "diverge" for number in (0, 1)})
    assert main(["tune", "study.toml"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == ("d3gan: error: all 2 trials of b diverged; choose another space in [tune]")
    assert not (tmp_path / "tuned.toml").exists()
