"""Measuring from Python: runs, generators, and images."""

from pathlib import Path

import numpy as np
import pytest

import d3gan
from d3gan.config import Config


@pytest.fixture
def run(measured: Config, quick_classifier: None) -> d3gan.Run:
    return d3gan.train(measured)


def test_a_run_its_folder_and_its_generator_have_the_same_numbers(run: d3gan.Run) -> None:
    wanted = {"samples": 150, "metrics": ["fd", "kd"], "draws": 2}
    by_run = d3gan.evaluate(run, **wanted)  # type: ignore[arg-type]
    assert {"fd", "kd_stderr", "protocol", "seeds"} < set(by_run)
    assert "recall" not in by_run
    assert (by_run["step"], by_run["target"]) == (8, str(run.path))
    assert d3gan.evaluate(run.path, **wanted) == by_run  # type: ignore[arg-type]
    generator = d3gan.load(run)
    by_generator = d3gan.evaluate(generator, **wanted)  # type: ignore[arg-type]
    assert by_generator == by_run | {"target": "generator of step 8"}
    assert generator.device.type == "cpu"


def test_a_checkpoint_and_other_real_images(
    run: d3gan.Run, noise_images: Path, labelled: Path
) -> None:
    features = f"classifier:{labelled}"
    with np.load(noise_images) as noise:
        real = noise["images"].repeat(5, axis=0)
    found = d3gan.evaluate(
        run, against=real, features=features, samples=150, draws=1, checkpoint=4, metrics=["recall"]
    )
    assert found["step"] == 4
    assert found["protocol"]["real_source"].startswith("in-memory:")
    with pytest.raises(d3gan.UserError, match="samples = 1: must be at least 2"):
        d3gan.evaluate(run, samples=1)
    with pytest.raises(d3gan.UserError, match="evaluate the checkpoints one by one"):
        d3gan.evaluate(run, checkpoint="all")


def test_arrays_of_images(run: d3gan.Run, labelled: Path) -> None:
    images = d3gan.load(run).sample(150)
    features = f"classifier:{labelled}"
    of_array = d3gan.evaluate(images, against=labelled, features=features, metrics=["fd"])
    of_run = d3gan.evaluate(run, samples=150, draws=1, metrics=["fd"])
    assert of_array["protocol"]["generated_images"] == 150
    assert of_array["fd"] != of_run["fd"]  # other latents
    assert of_array["fd"] == pytest.approx(of_run["fd"], rel=0.5)
    with pytest.raises(d3gan.UserError, match="name the real images to compare"):
        d3gan.evaluate(images)
