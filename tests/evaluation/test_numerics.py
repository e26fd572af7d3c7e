"""Features are computed without TF32, whatever is set for training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.evaluation.measuring import evaluator

from d3gan.data.cache import load_images
from d3gan.evaluation.features.extractor import Features
from d3gan.evaluation.numerics import without_tf32
from d3gan.evaluation.real_statistics import drawn_from


def allowed() -> list[bool]:
    return [torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32]


@pytest.fixture(autouse=True)
def _restored() -> Any:
    before = allowed()
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("set_outside", [True, False])
def test_tf32_is_off_within_the_block_and_as_before_after_it(set_outside: bool) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = set_outside
    with without_tf32():
        assert allowed() == [False, False]
    assert allowed() == [set_outside, set_outside]


def test_images_are_drawn_and_measured_without_tf32(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of real images are, too."""
    seen: list[list[bool]] = []
    call = Features.__call__

    def watched(self: Features, images: torch.Tensor) -> Any:
        seen.append(allowed())
        return call(self, images)

    def draw(numbers: range) -> torch.Tensor:
        seen.append(allowed())
        return real(numbers)

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    monkeypatch.setattr(Features, "__call__", watched)
    measuring = evaluator(labelled, samples=149, metrics=("kd",))
    real = drawn_from(load_images(measuring.data).images)
    measuring.measure(draw)
    assert len(seen) > 4
    assert not any(map(any, seen))


def test_newer_settings_are_overridden_and_restored() -> None:
    matmul = torch.backends.cuda.matmul
    matmul.fp32_precision = "tf32"
    try:
        with without_tf32():
            assert allowed() == [False, False]
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = "none"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_convolutions_on_cuda_have_the_digits_of_float32() -> None:
    torch.backends.cudnn.allow_tf32 = True
    x, weight = torch.randn(8, 64, 16, 16), torch.randn(64, 64, 3, 3)
    exact = torch.nn.functional.conv2d(x.double(), weight.double())
    with without_tf32():
        found = torch.nn.functional.conv2d(x.cuda(), weight.cuda()).cpu().double()
    assert (found - exact).abs().max() / exact.abs().max() < 2e-6
