"""What a run will take: sizes in closed form, and the block of lines that is printed."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from d3gan import config as configs
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.training import forecast, kernels
from d3gan.training.state import make_state
from d3gan.training.trainer import train


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "1 kB"), (34_000, "34 kB"), (999_600, "1 MB"), (34e6, "34 MB"), (1.24e9, "1.2 GB")],
)
def test_sizes_in_words(count: float, words: str) -> None:
    assert forecast.size(count) == words


def test_checkpoints_are_as_large_as_said(tiny: Config) -> None:
    """The files hold a few kilobytes more: names, options and checksums."""
    config = configs.from_dict({"model": {"generator_width": 32, "discriminator_width": 32}}, tiny)
    state = make_state(config, torch.device("cpu"))
    weights, ema = forecast.state_bytes(state, config.gan.discriminators)
    checkpoint, whole = forecast.disk_bytes(config, weights, ema)
    run = train(config)
    file = run.checkpoint_file(10).stat().st_size
    assert 0.98 * file < checkpoint < file
    used = sum(f.stat().st_size for f in (*run.checkpoints.iterdir(), *run.samples.iterdir()))
    assert used < 1.02 * whole


def block(errors: str) -> list[str]:
    """Return the first words of the lines of the block."""
    return [line.split()[0] for line in errors.splitlines() if re.match(r"  \w", line)]


def test_the_block_fits_80_columns(measured: Config, capsys: pytest.CaptureFixture[str],
                                   monkeypatch: pytest.MonkeyPatch,
                                   quick_classifier: None) -> None:  # fmt: skip
    monkeypatch.setattr(kernels, "LEAST_GAIN", 0.0)  # they are mentioned
    sections = {"train": {"batch_size": 10, "epochs": 2.0}, "eval": {"every_epochs": 1.0}}
    train(configs.from_dict(sections, measured))
    errors = capsys.readouterr().err
    assert block(errors) == ["device", "kernels", "disk", "memory", "time"]
    assert "d3gan: measured: 40 steps of 10 images, to epoch 2\n" in errors
    assert re.search(r"  time     about \d+ s left, evaluations included\n", errors)
    lines = [line for line in errors.splitlines() if line.startswith("  ")]
    assert all(len(line) <= 80 for line in lines)


def test_timing_changes_no_result(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(tiny)
    monkeypatch.setattr(forecast.Forecast, "step", lambda self: None)
    untimed = train(configs.from_dict({"name": "untimed"}, tiny))
    one, other = (
        torch.load(run.checkpoint_file(10), weights_only=True) for run in (whole, untimed)
    )
    for name in ("generator", "discriminators"):
        assert all(torch.equal(one[name][key], other[name][key]) for key in one[name])


def test_a_disk_without_room_for_one_checkpoint_is_refused(
    tiny: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage(Path.cwd())
    monkeypatch.setattr(forecast.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"one checkpoint needs \d+ kB, and 1 kB are free at"):
        train(tiny)
    weights, _ = forecast.state_bytes(make_state(tiny, torch.device("cpu")), 2)
    free = 5 * weights  # one checkpoint, but not three
    monkeypatch.setattr(forecast.shutil, "disk_usage", lambda path: usage._replace(free=free))
    train(configs.from_dict({"name": "tight"}, tiny))
    assert "warning: the run may need " in capsys.readouterr().err


def test_networks_that_cannot_fit_the_memory_are_refused(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "available_memory", lambda: 1000)
    with pytest.raises(UserError, match=r"the networks need \d+ kB more .*, and 1 kB of memory"):
        train(tiny)


@pytest.mark.parametrize(
    ("source", "seconds", "proposal"),
    [
        ("cifar10", 1e9, r"; `cifar10-(r3gan|sngan)-small` takes about \d+"),
        ("svhn", 1e9, r"; `demo-d3gan` takes about \d+"),
        ("svhn", 1e-9, ""),
    ],
)
def test_a_shorter_preset_is_proposed_if_there_is_one(
    source: str, seconds: float, proposal: str
) -> None:
    config = configs.from_dict({"data": {"source": source}})
    text = forecast._proposal(config, speed=1e12, images=50_000, seconds=seconds)
    assert re.match(proposal or "$", text)
    assert bool(text) == bool(proposal)
