"""Evaluation of a conditional generator: labels are drawn, and compared with the classifier's."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluation.measuring import changed, evaluator, rows

from d3gan import config as configs
from d3gan import config_files
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.data.cache import load_images
from d3gan.errors import UserError
from d3gan.training.measuring import measure_generator
from d3gan.training.trainer import train


def test_a_conditional_run_measures_label_agreement(
    measured: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(changed(measured, model={"conditional": True}, eval={"monitor": "label_agreement"}))
    last = rows(run.path)[-1]
    assert 0 <= last["label_agreement"] <= 1
    assert last["protocol"]["classes"] == 4
    capsys.readouterr()
    flags = ["--samples", "150", "--seed", "0", "--draws", "1"]
    assert main(["evaluate", str(run.path), *flags, "--json", "-"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["protocol"] == last["protocol"]
    assert again["label_agreement"] == last["label_agreement"]


def test_an_unconditional_run_does_not(measured: Config) -> None:
    last = rows(train(measured).path)[-1]
    assert "label_agreement" not in last
    assert last["protocol"]["classes"] == 0


class Memory(torch.nn.Module):
    """Generates the first real image of the requested class."""

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__()
        self.images = torch.nn.Parameter(images)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.images[labels]


def test_a_generator_that_draws_the_requested_class_agrees(measured: Config) -> None:
    by = evaluator(measured.data.source, 200, classes=4, metrics=("label_agreement",))
    real = load_images(by.data)
    assert real.labels[:4].tolist() == [0, 1, 2, 3]
    images = torch.from_numpy(real.images[:4] / 127.5 - 1).float()
    for generator, expected in ((Memory(images), 1.0), (Memory(images.roll(1, 0)), 0.0)):
        numbers = measure_generator(by, generator, 8, ema=False).numbers
        assert numbers["label_agreement"].value == expected


def test_labels_are_required_before_the_classifier(measured: Config, tmp_path: Path) -> None:
    np.save(tmp_path / "photos.npy", np.zeros((200, 16, 16, 3), np.uint8))
    config = changed(
        measured, model={"conditional": True}, data={"source": str(tmp_path / "photos.npy")}
    )
    with pytest.raises(UserError, match=r"model\.conditional = true: .*photos.npy has no labels"):
        train(config)


@pytest.mark.slow
def test_a_conditional_dcgan_generates_the_requested_digits(tmp_path: Path) -> None:
    changes = {
        "out_dir": str(tmp_path),
        "model": {"conditional": True},
        "train": {"epochs": 2.0},
        "eval": {"every_epochs": 2.0, "samples": 1000, "metrics": ["fd", "label_agreement"]},
    }
    run = train(configs.from_dict(changes, config_files.load_preset("demo-dcgan")))
    initial, row = rows(run.path)
    assert initial["label_agreement"] < 0.5
    assert row["label_agreement"] > 0.8
