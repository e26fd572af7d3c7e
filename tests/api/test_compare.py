"""Comparing from Python: training what is missing, and runs that exist."""

import json
from pathlib import Path

import pytest

import d3gan
from d3gan.api.comparison import _planned
from d3gan.config import Config, to_toml
from d3gan.errors import UserError


@pytest.fixture
def two_runs(measured: Config, quick_classifier: None) -> list[d3gan.Run]:
    return [d3gan.train(measured, {"name": f"a-seed-{seed}", "seed": seed}) for seed in (0, 1)]


def test_runs_that_exist(two_runs: list[d3gan.Run], tmp_path: Path) -> None:
    study = d3gan.compare_runs(two_runs)
    assert study.verdict == "There is only one method, a, so nothing is compared."
    assert study.runs == two_runs
    values = study.to_dict()
    assert list(values["methods"]) == ["a"]
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert study.report(tmp_path / "report.html") == tmp_path / "report.html"
    assert "a-seed-1" in (tmp_path / "report.html").read_text()
    with pytest.raises(UserError, match="there is no run at"):
        d3gan.compare_runs(["nowhere"])
    with pytest.raises(UserError, match="there are no runs to compare"):
        d3gan.compare_runs([])


def test_a_frame_has_a_row_per_run(two_runs: list[d3gan.Run]) -> None:
    pytest.importorskip("pandas", reason="the extra frames is not installed")
    frame = d3gan.compare_runs(two_runs).to_frame()
    assert frame["seed"].tolist() == [0, 1]
    assert frame["method"].tolist() == ["a", "a"]
    assert (frame["best_fd"] > 0).all()
    assert (frame["reported_fd"] > 0).all()


@pytest.mark.slow
def test_methods_are_trained_and_judged(tiny: Config, tmp_path: Path) -> None:
    """In processes of their own, on digits, whose classifier the package carries."""
    preset = tmp_path / "small.toml"
    preset.write_text(to_toml(tiny))
    changes = {
        "data": {"source": "digits", "channels": 1, "limit": 512},
        "eval": {"every_epochs": 1.0, "samples": 100, "metrics": ["kd"]},
        "eval.features": "classifier:mnist",
        "train": {"batch_size": 64, "precision": "fp32"},
    }
    methods = {"one": {"base": str(preset), "gan.discriminators": 1}, "two": {"base": str(preset)}}
    arguments = {"changes": changes, "name": "mine", "out_dir": tmp_path / "study"}
    study = d3gan.compare(methods, seeds=[0], **arguments)  # type: ignore[arg-type]
    assert len(study.runs) == 2
    assert "one" in study.verdict
    finished = [run.status for run in study.runs]
    again = d3gan.compare(methods, seeds=[0], **arguments)  # type: ignore[arg-type]
    assert again.to_dict() == study.to_dict()
    assert [run.status for run in again.runs] == finished  # nothing was trained again


def test_methods_by_name_and_study_files(tmp_path: Path) -> None:
    by_list = _planned(["demo-dcgan", "demo-d3gan"], {"seeds": [4, 5]}, {"train.epochs": 1})
    assert by_list.methods == ["demo-dcgan", "demo-d3gan"]
    assert {run.config.seed for run in by_list.runs} == {4, 5}
    assert {run.config.train.epochs for run in by_list.runs} == {1}
    by_name = _planned({"wide": {"base": "demo-dcgan", "model": {"generator_width": 96}}}, {}, {})
    assert by_name.runs[0].config.model.generator_width == 96
    file = tmp_path / "mine.toml"
    file.write_text('methods = ["demo-dcgan"]\nset = { "train.epochs" = 7, "seed" = 1 }\n')
    file.write_text('methods = ["demo-dcgan"]\n[set]\ntrain.epochs = 7\ntrain.batch_size = 50\n')
    from_file = _planned(file, {"seeds": [9]}, {"train.epochs": 2})
    assert from_file.name == "mine"
    train = from_file.runs[0].config.train
    assert (train.epochs, train.batch_size, len(from_file.runs)) == (2, 50, 1)


def test_mistakes(tiny: Config) -> None:
    with pytest.raises(UserError, match="must be a list of methods, or a study file"):
        d3gan.compare("mnist-dcgan")
    with pytest.raises(UserError, match="name the methods to compare"):
        d3gan.compare([])
    with pytest.raises(UserError, match="jobs = -1: must be at least 1, or 0"):
        d3gan.compare(["demo-dcgan"], jobs=-1)
    with pytest.raises(UserError, match=r"must be lists of numbers, such as range\(5\)"):
        d3gan.compare(["demo-dcgan"], seeds=3)  # type: ignore[arg-type]
    run = d3gan.train(tiny, {"train.epochs": 0.2})
    with pytest.raises(UserError, match=r"is a run, .* existing runs with d3gan\.compare_runs"):
        d3gan.compare([run])
