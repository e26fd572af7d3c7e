"""Warnings of real runs: printed once, stored in metrics.jsonl, and not repeated on resume."""

import pytest

from d3gan import config as configs
from d3gan import messages
from d3gan.config import Config
from d3gan.runs import RunFolder
from d3gan.training import health
from d3gan.training.trainer import train


def warnings(run: RunFolder) -> list[str]:
    return [row["name"] for row in run.metrics() if row["kind"] == "warning"]


def test_rates_of_10_explode_the_losses_and_that_is_said_once(
    tiny: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    sections = {
        "optim": {"lr_g": 10.0, "lr_d": 10.0},
        "train": {"log_every_steps": 1},
        "checkpoint": {"every_epochs": 1.0},
    }
    config = configs.from_dict(sections, tiny)
    run = train(config)
    errors = capsys.readouterr().err
    assert warnings(run) == ["losses_exploded"]
    (row,) = (row for row in run.metrics() if row["kind"] == "warning")
    assert errors.count(f"d3gan: warning: {row['message']}\n") == 1
    assert errors.splitlines()[-1].startswith("d3gan: tiny: ")
    assert "the losses have exploded" in errors.splitlines()[-1]

    train(configs.from_dict({"train": {"epochs": 3.0}}, config), resume=True)
    again = capsys.readouterr().err
    assert warnings(run) == ["losses_exploded"]
    assert "d3gan: warning" not in again
    assert "the losses have exploded" in again.splitlines()[-1]


def test_a_generator_that_stays_constant_is_named(
    tiny: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "WARM_UP_STEPS", 1)
    sections = {
        "model": {"generator_norm": "none"},
        "optim": {"lr_g": 1e-6},
        "samples": {"every_epochs": 0.4},
    }
    run = train(configs.from_dict(sections, tiny))
    assert warnings(run) == ["constant_samples"]
    assert "warning: all samples look the same at step" in capsys.readouterr().err


def test_a_discriminator_that_wins_is_named(
    tiny: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LONG_STEPS", 4)
    sections = {
        "optim": {"lr_g": 1e-6, "lr_d": 0.01},
        "train": {"epochs": 12.0, "log_every_steps": 1},
    }
    run = train(configs.from_dict(sections, tiny))
    assert "discriminators_won" in warnings(run)
    assert "all discriminators have won: losses below 0.069 since" in capsys.readouterr().err


def test_a_run_without_trouble_has_no_warning(
    measured: Config, capsys: pytest.CaptureFixture[str], quick_classifier: None
) -> None:
    messages.set_verbosity(messages.Verbosity.VERBOSE)
    try:
        run = train(measured)
    finally:
        messages.set_verbosity(messages.Verbosity.NORMAL)
    assert warnings(run) == []
    said = capsys.readouterr().err
    assert said.count("d3gan: epoch ") == 5
    assert said.count("d3gan: kernel of discriminators 1.") > 1
    assert said.count(", before training (never saved as best.pt); measured in ") == 1
    assert said.splitlines()[-1].startswith("d3gan: measured: ")
    assert ": fd " in said.splitlines()[-1] or " best fd " in said.splitlines()[-1]


def test_a_finished_run_is_neither_announced_nor_judged_again(
    tiny: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny)
    assert "d3gan: tiny: no sign of divergence" in capsys.readouterr().err
    train(tiny, resume=True)
    assert capsys.readouterr().err == ""
