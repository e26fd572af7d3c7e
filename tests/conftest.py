"""Fixtures for all tests. Tests read and write nothing outside their temporary folders."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from d3gan import config as configs
from d3gan.config import Config
from d3gan.evaluation.features import classifier_cache
from d3gan.evaluation.features.classifier import Recipe
from tests.program import end_processes

# Tests run in parallel, one per core, so more than one thread each would only compete.
torch.set_num_threads(1)

# Times on a shared machine vary. .ci/run tries more examples: --hypothesis-profile thorough.
settings.register_profile("quick", deadline=None, max_examples=30)
settings.register_profile("thorough", deadline=None, max_examples=100)
settings.load_profile("quick")


@pytest.fixture(scope="session", autouse=True)
def _shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Share cached results among all tests of a session, and with no other session."""
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent  # shared by all workers
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("D3GAN_CACHE", str(folder / "cache"))
        patch.setenv("D3GAN_OFFLINE", "1")  # no test asks the network for Inception's weights
        yield


@pytest.fixture(autouse=True)
def _processes_end() -> Iterator[None]:
    """End the processes that the test has started, within a bounded time."""
    yield
    end_processes()


@pytest.fixture
def quick_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train classifiers for seconds only; their accuracy is low."""
    quick = Recipe(width=8, epochs=5.0, least_images=0, most_images=640)
    monkeypatch.setattr(classifier_cache, "RECIPES", {1: quick, 3: quick})


@pytest.fixture
def data_folder() -> Path:
    """Folder of the real data sets; the test is skipped where there is none."""
    folder = os.environ.get("D3GAN_DATA")
    if not folder or not (Path(folder) / "mnist").is_dir():
        pytest.skip("D3GAN_DATA names no folder that holds mnist and cifar10")
    return Path(folder)


@pytest.fixture
def noise_images(tmp_path: Path) -> Path:
    """File (.npz) of 40 small random colour images with labels."""
    rng = np.random.default_rng(0)
    file = tmp_path / "noise.npz"
    images = rng.integers(0, 256, (40, 16, 16, 3), np.uint8)
    np.savez(file, images=images, labels=np.arange(40) % 4)
    return file


@pytest.fixture
def tiny(noise_images: Path, tmp_path: Path) -> Config:
    """Configuration of a run of 10 steps of a few milliseconds each."""
    return configs.from_dict(
        {
            "name": "tiny",
            "out_dir": str(tmp_path / "runs"),
            "data": {"source": str(noise_images), "resolution": 16},
            "model": {
                "latent_dim": 8,
                "generator_width": 4,
                "discriminator_width": 4,
                "generator_norm": "group",
                "discriminator_norm": "group",
            },
            "gan": {"discriminators": 2},
            "optim": {"ema_half_life_images": 50.0},
            "train": {"batch_size": 8, "epochs": 2.0, "precision": "fp64", "log_every_steps": 3},
            "samples": {"count": 4},
        }
    )


@pytest.fixture(autouse=True)
def _restore_torch() -> Iterator[None]:
    """Restore torch's settings after each test."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """File (.npz) of 200 colour images of 4 classes that are easy to distinguish."""
    rng = np.random.default_rng(1)
    labels = np.arange(200) % 4
    images = rng.integers(0, 100, (200, 16, 16, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = label // 2 * 8, label % 2 * 8
        image[top : top + 8, left : left + 8] += 120
    file = tmp_path / "labelled.npz"
    np.savez(file, images=images, labels=labels)
    return file


@pytest.fixture
def measured(tiny: Config, labelled: Path) -> Config:
    """Configuration of a run of 8 steps that is evaluated every second step."""
    return configs.from_dict(
        {
            "name": "measured",
            "data": {"source": str(labelled)},
            "train": {"batch_size": 50, "epochs": 2.0},
            "eval": {"every_epochs": 0.5, "samples": 150},
        },
        tiny,
    )
