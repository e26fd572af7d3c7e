"""Devices, and MPS without one: the device "meta" stands for it, which is not the CPU either.

No test has run on a GPU of Apple. These tests show that no float64 number is made on the device,
and that everything is on the device where the networks compute.
"""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from d3gan import config as configs
from d3gan import devices
from d3gan.acceleration.precision import check_precision, chosen_precision
from d3gan.cli.main import main
from d3gan.config_files import load_preset
from d3gan.data.loader import make_loader
from d3gan.devices import choose_device, float64_device, free_memory, gpu_names, onto
from d3gan.errors import UserError
from d3gan.evaluation.features.classifier import Recipe, shifted, train_classifier
from d3gan.evaluation.features.extractor import Features
from d3gan.training.engine import Engine
from d3gan.training.kernels import choose_kernels
from d3gan.training.state import make_state
from d3gan.training.usage import Utilisation, peak_memory_bytes

CPU, MPS, META = torch.device("cpu"), torch.device("mps"), torch.device("meta")


def available(patch: pytest.MonkeyPatch, *, cuda: bool = False, mps: bool = False) -> None:
    patch.setattr(torch.cuda, "is_available", lambda: cuda)
    patch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("name", "cuda", "mps", "processes", "expected"),
    [
        ("auto", False, False, 1, "cpu"),
        ("auto", True, True, 1, "cuda"),
        ("auto", False, True, 1, "mps"),
        ("auto", False, True, 2, "cpu"),
        ("auto", True, False, 4, "cuda"),
        ("cpu", True, True, 1, "cpu"),
        ("mps", True, True, 1, "mps"),
        ("cuda", False, True, 1, "no CUDA device here"),
        ("mps", True, False, 1, "no MPS device here"),
        ("mps", False, True, 2, "2 processes cannot train on MPS"),
    ],
)
def test_the_device_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    cuda: bool,
    mps: bool,
    processes: int,
    expected: str,
) -> None:
    available(monkeypatch, cuda=cuda, mps=mps)
    if expected in ("cpu", "cuda", "mps"):
        assert choose_device(name, processes).type == expected
    else:
        with pytest.raises(UserError, match=expected):
            choose_device(name, processes)


def test_a_missing_device_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    available(monkeypatch)
    status = main(["train", "demo-d3gan", "--train.device", "mps", "--out-dir", str(tmp_path)])
    assert status == 2
    assert "error: train.device = 'mps': there is no MPS device here" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_operations_that_mps_lacks_are_computed_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "0")
    monkeypatch.setattr("sys.platform", "darwin")
    assert main(["presets"]) == 0
    assert os.environ["PYTORCH_ENABLE_MPS_FALLBACK"] == "0", "the user's choice"
    monkeypatch.delenv("PYTORCH_ENABLE_MPS_FALLBACK")
    assert main(["presets"]) == 0
    assert os.environ["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"


def test_precision_on_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_precision(MPS)[0] == "fp32"
    check_precision("fp32", MPS)
    with pytest.raises(UserError, match="MPS has no float64"):
        check_precision("fp64", MPS)
    check_precision("fp64", CPU)
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda kind: False)
    with pytest.raises(UserError, match="no mixed precision on mps"):
        check_precision("bf16", MPS)


def test_memory_and_names_of_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    available(monkeypatch, mps=True)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 3)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 10)
    assert free_memory(MPS) == 7
    assert free_memory(CPU) is None
    assert gpu_names() == ["Apple GPU (MPS)"]
    with Utilisation(MPS) as used:
        pass
    assert used.share is None
    assert peak_memory_bytes(MPS) is None


@pytest.fixture
def meta_is_mps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the device "meta" lack float64, and let fused Adam accept it."""
    from torch.optim import adam

    monkeypatch.setattr(devices, "has_float64", lambda device: device.type != "meta")
    monkeypatch.setattr(adam, "_device_dtype_check_for_fused", lambda *_, **__: None)
    with NoFloat64():
        yield


class NoFloat64(TorchDispatchMode):
    """Fails if an operation makes a float64 number on the device, as MPS does."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ == "_fused_adam_":  # in place; not implemented on "meta"
            return None
        made = func(*args, **(kwargs or {}))
        for x in made if isinstance(made, tuple | list) else [made]:
            if isinstance(x, Tensor) and x.device == META and x.dtype is torch.float64:
                raise TypeError(f"Cannot convert a MPS Tensor to float64 dtype: {func}")
        return made


def test_the_stand_in_refuses_float64(meta_is_mps: None) -> None:
    with pytest.raises(TypeError, match="MPS"):
        torch.zeros(3, device=META).double()
    assert float64_device(META) == CPU
    assert onto(torch.zeros(2, dtype=torch.float64), META).dtype is torch.float32
    assert onto(torch.zeros(2, dtype=torch.int64), META).dtype is torch.int64


@pytest.mark.parametrize(
    ("aggregation", "resident"),
    [("random", "never"), ("gman_star", "always"), ("adaptive", "always"), ("original", "always")],
)
def test_a_step_makes_no_float64_on_the_device(
    meta_is_mps: None, monkeypatch: pytest.MonkeyPatch, aggregation: str, resident: str
) -> None:
    config = configs.from_dict(
        {
            "data": {"resident": resident},
            "model": {"generator_width": 4, "discriminator_width": 4},
            "gan": {
                "aggregation": aggregation,
                "augmentations": ["color", "translation", "cutout"],
                "augmentation_probability": 0.5,
                "penalties": ["r1", "wgan_gp"],
            },
            "optim": {"ema_half_life_images": 1000.0},
            "train": {"batch_size": 8, "accumulate": 2},
        },
        load_preset("cifar10-d3gan"),
    )
    config = configs.validate(config)
    images = np.zeros((16, 3, 32, 32), np.uint8)
    state = make_state(config, META, initialise=False)
    choose_kernels(config, state)  # measures nothing
    engine = Engine(config, state, images, META)
    assert engine._static is None
    batch = engine.batch(0, 0.5)
    for x in (batch.real, batch.z, batch.augmentation, batch.augmented, batch.interpolation):
        assert x is not None
        assert x.device == META
    assert {loss.device for loss in engine.step().values()} == {META}


def test_a_loader_moves_batches_to_any_device() -> None:
    images = np.zeros((8, 1, 4, 4), np.uint8)
    loader = make_loader(
        images, None, lambda number: (torch.arange(4), None), META, torch.float32, "always"
    )
    assert loader.images(torch.arange(4, device=META), None).device == META


def test_statistics_of_features_are_summed_on_the_cpu(meta_is_mps: None) -> None:
    class Network(torch.nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            assert images.device == META
            return torch.ones(len(images), 3), torch.ones(len(images), 2)

    features = Features("x", Network(), 3, 2, "", "none", batch_size=4, device=META)
    statistics = features.empty_statistics(2)
    statistics.add(*features(torch.zeros(2, 1, 4, 4, dtype=torch.uint8)), 0)
    assert statistics.moments.products.dtype is torch.float64
    assert statistics.moments.products.device == CPU
    assert statistics.count == 2


def test_augmentation_of_the_classifier_is_drawn_on_the_cpu(meta_is_mps: None) -> None:
    images = torch.zeros(4, 1, 8, 8, device=META)
    assert shifted(images, torch.arange(4), 2).device == META


def test_training_the_classifier_is_the_same_as_before() -> None:
    """Its random numbers are drawn on the CPU for every device."""
    images = torch.arange(8 * 64).remainder(256).to(torch.uint8).view(8, 1, 8, 8)
    recipe = Recipe(width=4, epochs=1.0, least_images=0, batch_size=4, mirror=True)
    network = train_classifier(images, torch.arange(8) % 2, recipe, CPU)
    assert all(p.isfinite().all() for p in network.parameters())
