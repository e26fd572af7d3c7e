"""Planned runs, and the runs that exist."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from tests.program import run_code, written

from d3gan import config as configs
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.evaluation.features import inception_release
from d3gan.study import plan
from d3gan.study.plan import (
    PlannedRun,
    changes,
    check_precision,
    is_done,
    planned_steps,
    with_features,
)
from d3gan.study.study_file import make_study
from d3gan.training.trainer import train


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"gan": {"aggregation": "max"}},
            "its gan.aggregation is 'original', the study's is 'max'",
        ),
        ({"seed": 1}, "its seed is 0, the study's is 1"),
        ({"train": {"epochs": 1}}, "its train.epochs is 2.0, the study's is 1.0"),
        ({"eval": {"every_epochs": 1}}, "its eval.every_epochs is 0.0, the study's is 1.0"),
    ],
)
def test_an_existing_run_that_is_not_the_planned_one(
    tiny: Config, other: dict[str, Any], message: str
) -> None:
    train(tiny)
    planned = PlannedRun("tiny", configs.from_dict(other, tiny))
    for decide in (changes, is_done):
        with pytest.raises(UserError, match=re.escape(f"is not the planned run: {message}")):
            decide(planned)


def test_the_runs_of_a_study_have_one_precision_on_all_machines(tiny: Config) -> None:
    study = study_of(tiny, {"a": "classifier", "b": "classifier"})
    check_precision(study)
    run = study.runs[0]
    auto = configs.from_dict({"train": {"precision": "auto"}}, run.config)
    study = dataclasses.replace(study, runs=(dataclasses.replace(run, config=auto),))
    with pytest.raises(UserError, match=r"a-seed-0: train.precision = 'auto': .* fp32 or bf16"):
        check_precision(study)


def test_an_existing_run_may_be_trained_for_longer(tiny: Config) -> None:
    assert not is_done(PlannedRun("tiny", tiny))
    train(tiny)
    assert changes(PlannedRun("tiny", tiny)) == {}
    assert is_done(PlannedRun("tiny", tiny))
    longer = {"train": {"epochs": 3.0, "log_every_steps": 1}}
    planned = PlannedRun("tiny", configs.from_dict(longer, tiny))
    assert changes(planned) == {"train.epochs": 3.0, "train.log_every_steps": 1}
    assert not is_done(planned)


@pytest.mark.parametrize(
    "schedule",
    [{"train": {"log_every_steps": 1}}, {"checkpoint": {"keep": 1}}, {"train": {"device": "cpu"}}],
)
def test_a_finished_run_stays_finished_under_another_schedule(
    tiny: Config, schedule: dict[str, Any]
) -> None:
    train(tiny)
    planned = PlannedRun("tiny", configs.from_dict(schedule, tiny))
    assert len(changes(planned)) == 1
    assert is_done(planned)


def test_a_run_that_stopped_early_continues_with_more_patience(
    measured: Config, quick_classifier: None
) -> None:
    config = configs.from_dict(
        {"optim": {"lr_g": 1e-12, "lr_d": 1e-12}, "eval": {"patience": 2}, "train": {"epochs": 9}},
        measured,
    )
    run = train(config)
    status = run.status()
    assert status is not None
    assert (status.state, status.step < 36) == ("stopped_early", True)
    assert is_done(PlannedRun("measured", config))
    patient = configs.from_dict({"eval": {"patience": 99}}, config)
    assert not is_done(PlannedRun("measured", patient))


def test_a_run_with_decaying_learning_rates_cannot_be_trained_for_longer(tiny: Config) -> None:
    falling = configs.from_dict({"optim": {"schedule": "linear_decay"}}, tiny)
    train(falling)
    longer = configs.from_dict({"train": {"epochs": 3.0}}, falling)
    with pytest.raises(UserError, match=r"its train\.epochs is 2\.0, the study's is 3\.0"):
        changes(PlannedRun("tiny", longer))


def test_a_batch_larger_than_the_data(tiny: Config, tmp_path: Path) -> None:
    values = {"methods": [str(written(tiny, tmp_path))], "set": {"eval.every_epochs": 1}}
    (run, *_) = make_study(values).runs
    assert planned_steps(run) == 10
    (run, *_) = make_study({**values, "vary": {"train.batch_size": [41]}}).runs
    with pytest.raises(UserError, match=r"batch_size = 41: .* has only 40 images"):
        planned_steps(run)


@pytest.mark.parametrize("module", ["plan", "study_file", "launchers", "run", "compare"])
def test_planning_and_comparing_do_not_import_torch(module: str) -> None:
    code = f"import d3gan.study.{module}, sys; sys.exit('torch' in sys.modules)"
    assert run_code(code).returncode == 0


# eval.features = "auto"


def study_of(tiny: Config, methods: dict[str, str], **keys: Any) -> plan.Study:
    """Return a study of methods with these features, by name."""
    tables = {
        name: {"base": "demo-dcgan", "eval": {"every_epochs": 1, "features": features}}
        for name, features in methods.items()
    }
    return make_study({"methods": tables, "seeds": [0, 1], "out_dir": tiny.out_dir, **keys})


def features_of(study: plan.Study) -> set[str]:
    return {run.config.eval.features for run in study.runs}


def test_all_runs_of_a_study_get_the_same_features(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["", "no network"])  # asked once
    monkeypatch.setattr(inception_release, "why_unreachable", lambda: next(answers))
    study, line = with_features(study_of(tiny, {"a": "auto", "b": "auto"}))
    assert features_of(study) == {"inception"}
    assert line.startswith("eval.features = inception: the weights can be downloaded from ")
    study, line = with_features(study_of(tiny, {"a": "auto", "b": "auto"}))
    assert features_of(study) == {"classifier"}


def test_other_methods_and_the_metric_decide(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception_release, "why_unreachable", None)  # not asked
    study, line = with_features(study_of(tiny, {"a": "auto", "b": "classifier:digits"}))
    assert features_of(study) == {"classifier:digits"}
    assert line == "eval.features = classifier:digits: as the other methods of the study"
    study, line = with_features(study_of(tiny, {"a": "auto", "b": "auto"}, metric="fd"))
    assert features_of(study) == {"classifier"}
    assert line.endswith(": inception does not give fd")
    kept = study_of(tiny, {"a": "inception", "b": "classifier"})
    assert with_features(kept) == (kept, "")


def test_existing_runs_decide(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception_release, "why_unreachable", None)  # not asked
    folder = Path(tiny.out_dir) / "b-seed-1"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('[eval]\nfeatures = "inception"\n')
    study, line = with_features(study_of(tiny, {"a": "auto", "b": "auto"}))
    assert features_of(study) == {"inception"}
    assert line == f"eval.features = inception: as {folder}"
    with pytest.raises(UserError, match="a-seed-0: 'fd' is not a metric of inception features"):
        with_features(study_of(tiny, {"a": "auto", "b": "auto"}, metric="fd"))
