"""Evaluation during training, which has no influence on training."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.evaluation.measuring import changed, evaluator, measure_as, numbers_of, rows
from tests.program import d3gan, forget_config, weights, written

from d3gan.acceleration import autotune
from d3gan.acceleration.convolutions import use_kernels
from d3gan.config import Config
from d3gan.errors import Interrupted, UserError
from d3gan.evaluation.evaluator import Evaluator
from d3gan.runs import RunFolder
from d3gan.training.inference import checkpoints, load
from d3gan.training.measuring import measure_generator
from d3gan.training.signals import StopRequest
from d3gan.training.state import lay_out
from d3gan.training.trainer import train


def test_evaluation_does_not_change_training(measured: Config) -> None:
    with_it = weights(train(measured).path)
    without = train(changed(measured, name="without", eval={"every_epochs": 0.0}))
    assert not rows(without.path)
    for name, tensor in weights(without.path).items():
        assert torch.equal(tensor, with_it[name]), name


@pytest.mark.slow
def test_evaluation_does_not_change_training_of_two_processes_with_batch_norm(
    measured: Config, tmp_path: Path
) -> None:
    """Running statistics differ between the ranks, and are averaged for the evaluation alone."""
    norm = {"model": {"generator_norm": "batch"}}
    for name, every in (("with", 0.5), ("without", 0.0)):
        config = dataclasses.replace(measured, name=name)
        file = written(config, tmp_path, eval={"every_epochs": every}, **norm)
        assert d3gan("train", file, "--processes", 2).returncode == 0
    one, other = (weights(measured.run_dir.with_name(name)) for name in ("with", "without"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kernel", ["library", "im2col"])
def test_bf16_is_evaluated_in_float32_as_it_is_saved(
    measured: Config, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    def chosen(seconds: dict[str, float], default: str) -> str:
        return kernel if kernel in seconds else default

    monkeypatch.setattr(autotune, "best", chosen)
    config = changed(measured, train={"precision": "bf16"}, optim={"ema_half_life_images": 0.0})
    run = train(config)
    trained = load(run.path)
    # So that sums are added up in the same order; other kernels may change a pixel by one level.
    lay_out(trained.generator, torch.device("cpu"))
    use_kernels(trained.generator, json.loads(run.kernels_file.read_text())["generator"])
    again = measure_generator(
        evaluator(Path(config.data.source)), trained.generator, config.model.latent_dim, ema=False
    )
    assert rows(run.path)[-1]["fd"] == again.to_dict()["fd"]


def test_evaluation_is_outside_the_training_clock(
    measured: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, clock, waited = Evaluator.measure, time.perf_counter, [0.0]

    def slow(self: Evaluator, *arguments: Any, **options: Any) -> Any:
        waited[0] += 1000
        return measure(self, *arguments, **options)

    monkeypatch.setattr(Evaluator, "measure", slow)
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + waited[0])
    run = train(changed(measured, eval={"every_epochs": 1.0}))
    assert [row["eval_seconds"] > 1000 for row in rows(run.path)] == [True] * 3
    assert all(row["train_seconds"] < 1000 for row in run.metrics())
    status = run.status()
    assert status is not None
    assert status.train_seconds < 1000


def test_the_initial_generator_is_measured_but_never_the_best(
    measured: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if every later value is worse, and it does not count for patience."""
    measure_as(monkeypatch, 1, 5, 6, 7, 8, 9, 9, 9)
    run = train(changed(measured, eval={"patience": 3}, train={"epochs": 2.5}))
    evaluations = rows(run.path)
    first = evaluations[0]
    assert (first["step"], first["images"], first["train_seconds"]) == (0, 0, 0.0)
    assert (first["fd"], first["best"]) == (1.0, False)
    assert [row["step"] for row in evaluations] == [0, 2, 4, 6, 8]
    assert [row["best"] for row in evaluations] == [False, True, False, False, False]
    assert load(run.path, "best").step == 2


def test_the_initial_generator_is_measured_once(
    measured: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends after it, without a checkpoint, starts again from step 0."""

    def lost(self: StopRequest, step: int) -> int:
        raise UserError(f"no space left at step {step}")

    agreed = StopRequest.agreed
    monkeypatch.setattr(StopRequest, "agreed", lost)
    with pytest.raises(UserError, match="no space left at step 1"):
        train(measured)
    monkeypatch.setattr(StopRequest, "agreed", agreed)
    assert [row["step"] for row in RunFolder(measured.run_dir).metrics()] == [0]
    run = train(measured, resume=True)
    assert [row["step"] for row in rows(run.path)] == [0, 2, 4, 6, 8]
    whole = train(changed(measured, name="whole"))
    assert [numbers_of(row) for row in rows(run.path)] == [
        numbers_of(row) for row in rows(whole.path)
    ]


def test_the_best_checkpoint_has_the_best_metric(measured: Config) -> None:
    run = train(changed(measured, eval={"monitor": "kd"}, checkpoint={"keep": 1}))
    evaluations = rows(run.path)[1:]
    best = min(evaluations, key=lambda row: row["kd"])
    assert [row["best"] for row in evaluations] == [
        row["kd"] == min(earlier["kd"] for earlier in evaluations[: k + 1])
        for k, row in enumerate(evaluations)
    ]
    trained = load(run.path, "best")
    assert trained.step == best["step"]
    again_by = evaluator(Path(measured.data.source))
    again = measure_generator(again_by, trained.generator, measured.model.latent_dim, ema=True)
    assert again.to_dict()["kd"] == pytest.approx(best["kd"], rel=1e-4)
    names, best_step = checkpoints(run.path)
    assert names in (["8"], ["best", "8"])
    assert best_step == best["step"]


def test_a_resumed_run_knows_its_best_evaluation(measured: Config) -> None:
    uninterrupted = train(changed(measured, name="uninterrupted"))
    train(changed(measured, train={"epochs": 1.0}))
    run = train(measured, resume=True)
    assert [numbers_of(row) for row in rows(run.path)] == [
        numbers_of(row) for row in rows(uninterrupted.path)
    ]
    assert [row["best"] for row in rows(run.path)] == [
        row["best"] for row in rows(uninterrupted.path)
    ]


def test_patience_stops_a_run_that_does_not_improve(
    measured: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """With learning rates of nearly 0 nothing improves after the first evaluation."""
    config = changed(
        measured,
        optim={"lr_g": 1e-12, "lr_d": 1e-12},
        train={"epochs": 50.0},
        eval={"patience": 3, "monitor": "kd"},
    )
    run = train(config)
    said = capsys.readouterr().err
    assert [row["step"] for row in rows(run.path)] == [0, 2, 4, 6, 8]
    assert "stopped early at step 8 of 200, which saves 9,600 images: kd has not improved" in said
    assert load(run.path).step == 8
    assert run.sample_file(8).exists()
    train(config, resume=True)
    assert "stopped early at step 8 of 200" in capsys.readouterr().err
    assert len(rows(run.path)) == 5
    longer = changed(config, eval={"patience": 4})
    train(longer, resume=True)
    assert [row["step"] for row in rows(run.path)] == [0, 2, 4, 6, 8, 10]


def test_a_change_of_protocol_within_a_run_is_an_error(measured: Config) -> None:
    train(changed(measured, train={"epochs": 1.0}))
    fewer = changed(measured, eval={"samples": 140})
    with pytest.raises(UserError, match=r"eval\.samples = 140: cannot change .* has 150"):
        train(fewer, resume=True)
    forget_config(RunFolder(measured.run_dir))
    with pytest.raises(UserError, match=r"with the current configuration .* in generated_images"):
        train(fewer, resume=True)
    assert rows(measured.run_dir)[-1]["step"] == 4, "before the first step"
    without = changed(fewer, eval={"every_epochs": 0.0})
    assert train(without, resume=True).metrics()[-1]["step"] == 8


def test_an_evaluation_skipped_by_a_stop_is_done_on_resume(
    measured: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at step 4, and at the last step, where evaluations were due."""
    uninterrupted = train(changed(measured, name="uninterrupted"))
    for stop in (4, 8):
        config = changed(measured, name=f"stopped-{stop}")
        agreed = StopRequest.agreed
        monkeypatch.setattr(
            StopRequest, "agreed", lambda self, step, stop=stop: 2 if step == stop else 0
        )
        with pytest.raises(Interrupted):
            train(config)
        monkeypatch.setattr(StopRequest, "agreed", agreed)
        run = train(config, resume=True)
        assert [numbers_of(row) for row in rows(run.path)] == [
            numbers_of(row) for row in rows(uninterrupted.path)
        ]


def test_a_missing_best_checkpoint_is_reported(
    measured: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    half = changed(measured, train={"epochs": 1.0})
    run = train(half)
    run.best_file.unlink()
    train(measured, resume=True)
    assert "best.pt is missing or broken" in capsys.readouterr().err
    assert load(run.path, "best").step in (6, 8)


def test_missing_metrics_keep_the_best_checkpoint(measured: Config) -> None:
    run = train(changed(measured, train={"epochs": 1.0}))
    saved = torch.load(run.best_file, weights_only=True)
    saved["evaluation"]["fd"] = 1e-9  # nothing will be better
    torch.save(saved, run.best_file)
    run.metrics_file.unlink()
    train(measured, resume=True)
    assert load(run.path, "best").step == saved["step"]


def test_a_damaged_evaluation_row_is_reported(measured: Config) -> None:
    run = train(changed(measured, train={"epochs": 1.0}))
    text = run.metrics_file.read_text()
    for key in ("protocol", "fd"):
        run.metrics_file.write_text(text.replace(f'"{key}":', '"other":'))
        with pytest.raises(UserError, match=f"lacks '{key}'; repair that line"):
            train(measured, resume=True)


def test_a_run_that_stopped_early_may_lose_its_best_checkpoint(
    measured: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    config = changed(measured, optim={"lr_g": 1e-12, "lr_d": 1e-12}, eval={"patience": 1})
    run = train(config)
    run.best_file.unlink()
    train(config, resume=True)
    said = capsys.readouterr().err.splitlines()
    assert said[-1].endswith("for 1 evaluations; continue with a larger --eval.patience")
    status = run.status()
    assert status is not None
    assert status.state == "stopped_early"
