"""What is reported of a run when training ends: its best checkpoint on fresh draws of latents."""

from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.evaluation.measuring import changed, measure_as, numbers_of, rows

from d3gan.config import Config
from d3gan.errors import Interrupted, UserError
from d3gan.runs import RunFolder, last_report
from d3gan.training import trainer
from d3gan.training.signals import StopRequest
from d3gan.training.trainer import train


def reports(run: RunFolder) -> list[dict[str, Any]]:
    return [row for row in run.metrics() if row["kind"] == "report"]


def test_the_best_checkpoint_is_reported_on_three_draws(measured: Config) -> None:
    run = train(measured)
    (report,) = reports(run)
    assert report == run.metrics()[-1]
    best = [row for row in rows(run.path) if row["best"]][-1]
    for key in ("step", "images", "epoch", "train_seconds", "monitor"):
        assert report[key] == best[key]
    assert (report["draws"], report["seeds"]) == (3, [1, 2, 3])
    assert report["protocol"] == best["protocol"] | {"seed": 1}
    assert report["fd"] == pytest.approx(best["fd"], rel=0.5)
    assert report["fd"] != best["fd"]
    assert 0 < report["fd_stderr"] < report["fd"]
    board = EventAccumulator(str(run.path)).Reload()
    (scalar,) = board.Scalars("report/fd")
    assert (scalar.step, scalar.value) == (best["step"], pytest.approx(report["fd"]))
    assert not [tag for tag in board.Tags()["scalars"] if "seeds" in tag]


def test_a_report_that_was_lost_is_written_on_resume_and_only_once(
    measured: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> None:
        raise UserError("killed")

    whole = train(changed(measured, name="whole"))
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "report_row", killed)
        with pytest.raises(UserError, match="killed"):
            train(measured)
    run = RunFolder(measured.run_dir)
    assert not reports(run)
    for _ in range(2):
        train(measured, resume=True)
        assert [numbers_of(row) for row in reports(run)] == [
            numbers_of(row) for row in reports(whole)
        ]


def test_a_run_that_stopped_early_has_a_report(measured: Config) -> None:
    config = changed(measured, optim={"lr_g": 1e-12, "lr_d": 1e-12}, eval={"patience": 1})
    run = train(config)
    status = run.status()
    assert status is not None
    assert status.state == "stopped_early"
    assert [row["step"] for row in reports(run)] == [
        row["step"] for row in rows(run.path) if row["best"]
    ][-1:]


@pytest.mark.parametrize(("value", "steps"), [(3.0, [2, 8]), (7.0, [2])])
def test_an_extended_run_is_reported_again_if_it_got_better(
    measured: Config, monkeypatch: pytest.MonkeyPatch, value: float, steps: list[int]
) -> None:
    measure_as(monkeypatch, 9, 5, 6, 4, 5, 6)
    train(changed(measured, train={"epochs": 1.0}))
    measure_as(monkeypatch, 8, value, 1, 2, 3)
    run = train(measured, resume=True)
    assert [row["step"] for row in reports(run)] == steps
    last = last_report(run.metrics())
    assert last is not None
    assert last["step"] == steps[-1]
    assert last["fd"] == {8: 2.0, 2: 5.0}[steps[-1]]


def test_an_interrupted_run_and_one_without_evaluations_have_none(
    measured: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not reports(train(changed(measured, name="without", eval={"every_epochs": 0.0})))
    monkeypatch.setattr(StopRequest, "agreed", lambda self, step: 2 if step == 6 else 0)
    with pytest.raises(Interrupted):
        train(measured)
    assert not reports(RunFolder(measured.run_dir))
