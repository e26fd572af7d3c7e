"""Measuring kernels: what is measured, what is chosen, and that the first measurement counts."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from d3gan.acceleration import autotune
from d3gan.acceleration.autotune import GAIN, Layer, best, fastest, layers, measured, seconds_of
from d3gan.acceleration.convolutions import LIBRARY, kernels_for


def one_layer(*, transposed: bool = False, precision: str = "fp32", twice: bool = False) -> Layer:
    network = nn.ConvTranspose2d(4, 6, 4, 2, 1) if transposed else nn.Conv2d(4, 6, 4, 2, 1)
    network = nn.Sequential(network).to("meta")
    images = torch.empty(3, 4, 8, 8, device="meta")
    return layers(network, (images,), precision, twice=twice)["0"]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp64"])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_kernel_of_a_layer_is_timed(transposed: bool, precision: str) -> None:
    for twice in (False, True):
        layer = one_layer(transposed=transposed, precision=precision, twice=twice)
        seconds = seconds_of(layer)
        assert set(seconds) == set(kernels_for(layer.build()))
        assert all(value > 0 for value in seconds.values())


def test_a_layer_is_described_as_it_is_called() -> None:
    layer = one_layer()
    assert (layer.batch, layer.side, layer.channels) == (3, (8, 8), (4, 6))
    built = layer.build()
    assert repr(built) == repr(nn.Conv2d(4, 6, 4, 2, 1))
    assert layer.images().shape == (3, 4, 8, 8)


def test_large_batches_are_timed_in_part() -> None:
    network = nn.Sequential(nn.Conv2d(64, 128, 4, 2, 1)).to("meta")
    images = torch.empty(10_000, 64, 16, 16, device="meta")
    layer = layers(network, (images,), "fp32", twice=False)["0"]
    operations = 2 * layer.batch * 64 * 128 * 16 * 8 * 8
    assert 0.9 * autotune.OPERATIONS < operations <= autotune.OPERATIONS


def test_short_work_is_measured_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a machine that is busy most of the time, the smallest time counts."""
    now, calls = [0.0], [0]

    def work() -> None:
        calls[0] += 1
        now[0] += 0.001 if calls[0] == autotune.MOST_ROUNDS else 0.004

    monkeypatch.setattr(autotune.time, "perf_counter", lambda: now[0])
    assert fastest({"short": work}) == {"short": pytest.approx(0.001)}
    assert calls[0] == autotune.MOST_ROUNDS + 1
    calls[0], shorter = 0, autotune.SECONDS / 10
    monkeypatch.setattr(autotune.time, "perf_counter", lambda: shorter * calls[0])
    fastest({"longer": work})
    assert autotune.ROUNDS < calls[0] < autotune.MOST_ROUNDS


def test_hopeless_work_is_measured_in_few_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, calls = [0.0], {"good": 0, "bad": 0}

    def work(name: str, seconds: float) -> None:
        now[0] += seconds
        calls[name] += 1

    monkeypatch.setattr(autotune.time, "perf_counter", lambda: now[0])
    seconds = fastest({"good": partial(work, "good", 1.0), "bad": partial(work, "bad", 2.0)})
    assert seconds == {"good": 1.0, "bad": 2.0}
    # One of them to warm up.
    assert calls == {"good": autotune.ROUNDS + 1, "bad": autotune.HOPEFUL + 1}


def test_another_kernel_must_be_clearly_faster() -> None:
    assert best({LIBRARY: 1.0, "im2col": GAIN + 0.01}, LIBRARY) == LIBRARY
    assert best({LIBRARY: 1.0, "im2col": GAIN - 0.01}, LIBRARY) == "im2col"


def test_the_first_measurement_counts(tmp_path: Path) -> None:
    first = measured({"a": lambda: {"x": 1.0}}, tmp_path)
    again = measured({"a": lambda: {"x": 2.0}, "b": lambda: {"x": 3.0}}, tmp_path)
    assert first == {"a": {"x": 1.0}}
    assert again == {"a": {"x": 1.0}, "b": {"x": 3.0}}


def test_of_two_measurements_at_once_the_written_one_counts(tmp_path: Path) -> None:
    """The other process wrote while this one measured."""

    def measure() -> dict[str, float]:
        measured({"a": lambda: {"x": 1.0}}, tmp_path)
        return {"x": 2.0}

    assert measured({"a": measure}, tmp_path) == {"a": {"x": 1.0}}


def test_a_damaged_cache_is_replaced(tmp_path: Path) -> None:
    measured({"a": lambda: {"x": 1.0}}, tmp_path)
    (file,) = tmp_path.glob("*.json")
    wrong = ('{"a": 5}', '{"a": {}}', '{"a": {"x": "y"}}', '{"a": {"x": 0.0}}')
    for content in ("{", "[]", "", *wrong):
        file.write_text(content)
        assert measured({"a": lambda: {"x": 2.0}}, tmp_path) == {"a": {"x": 2.0}}
        assert json.loads(file.read_text()) == {"a": {"x": 2.0}}


def test_without_a_cache_folder_everything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert measured({"a": lambda: {"x": 1.0}}, tmp_path / "file" / "cache") == {"a": {"x": 1.0}}
