"""Four runs must reproduce the weights and losses recorded before the interfaces were reorganised.

`golden/golden.json` was recorded at commit 13f46c0. A change of numerics must say so in the
changelog and record new values on purpose.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from d3gan import config as configs
from d3gan import config_files
from d3gan.training.checkpoint import newest_checkpoint
from d3gan.training.inference import load
from d3gan.training.trainer import train

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text(encoding="utf-8"))
TOLERANCE = 1e-8
"""Relative."""

COMMON: dict[str, Any] = {
    "data": {"limit": 640},
    "model": {"generator_width": 8, "discriminator_width": 8},
    "train": {"batch_size": 32, "epochs": 1.0, "precision": "fp64", "log_every_steps": 1},
    "eval": {"every_epochs": 0.0},
}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "cifar10-d3gan": ("cifar10-d3gan", {}),
    "mnist-dcgan": ("mnist-dcgan", {}),
    "cifar10-three-discriminators": (
        "cifar10-d3gan",
        {
            "gan": {
                "discriminators": 3,
                "aggregation": "softmax(temperature=0.5)",
                "r1_gamma": 0.1,
            }
        },
    ),
    "cifar10-hinge-max-ema": (
        "cifar10-d3gan",
        {
            "gan": {"objective": "hinge", "aggregation": "max"},
            "model": {"generator_norm": "group", "discriminator_norm": "group"},
            "optim": {"ema_half_life_images": 1000.0},
        },
    ),
}


def fingerprint(tensor: Tensor) -> dict[str, Any]:
    """Shape, Euclidean norm, and the projection onto a fixed wave, which sees the order."""
    x = tensor.double().flatten()
    wave = torch.cos(torch.arange(len(x), dtype=torch.float64))
    return {"shape": list(tensor.shape), "norm": float(x.norm()), "projection": float(x @ wave)}


def assert_as_recorded(found: dict[str, Tensor], recorded: list[Any]) -> None:
    assert list(found) == [name for name, _ in recorded]
    for name, expected in recorded:
        actual = fingerprint(found[name])
        assert actual["shape"] == expected["shape"], name
        scale = TOLERANCE * max(expected["norm"], 1e-30)
        assert abs(actual["norm"] - expected["norm"]) <= scale, name
        # The projection of a difference is at most its norm times that of the wave.
        wave = max(1.0, (tensor_size(expected) / 2) ** 0.5)
        assert abs(actual["projection"] - expected["projection"]) <= scale * wave, name


def tensor_size(expected: dict[str, Any]) -> int:
    return int(torch.Size(expected["shape"]).numel())


@pytest.mark.parametrize("name", RUNS)
def test_a_run_reproduces_its_golden_values(name: str, data_folder: Path, tmp_path: Path) -> None:
    preset, changes = RUNS[name]
    config = configs.from_dict(COMMON, config_files.load_preset(preset))
    config = configs.from_dict({"name": name, "out_dir": str(tmp_path)}, config)
    run = train(configs.validate(configs.from_dict(changes, config)))

    exported = load(run.path).generator.state_dict()
    assert_as_recorded({key: exported[key] for key in sorted(exported)}, GOLDEN[name]["exported"])
    saved = newest_checkpoint(run)
    assert saved is not None
    assert_as_recorded(saved["discriminators"], GOLDEN[name]["discriminators"])
    rows = [row for row in run.metrics() if row["kind"] == "train"]
    losses = torch.tensor([[row["loss_g"], *row["loss_d"]] for row in rows], dtype=torch.float64)
    expected = torch.tensor(GOLDEN[name]["losses"], dtype=torch.float64)
    torch.testing.assert_close(losses, expected, rtol=TOLERANCE, atol=0)
