"""A trained generator: arrays for people, tensors with gradients for torch."""

import numpy as np
import pytest
import torch
from PIL import Image

from d3gan import config as configs
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.training.build import build_generator
from d3gan.training.generator import TrainedGenerator
from d3gan.training.sampling import to_uint8


def made(config: Config, classes: int = 0) -> TrainedGenerator:
    return TrainedGenerator(config, build_generator(config, classes).eval(), 7, classes)


@pytest.fixture
def trained(tiny: Config) -> TrainedGenerator:
    return made(tiny)


@pytest.fixture
def conditional(tiny: Config) -> TrainedGenerator:
    return made(configs.from_dict({"model": {"conditional": True}}, tiny), classes=4)


def test_samples_are_what_pillow_shows(trained: TrainedGenerator) -> None:
    images = trained.sample(5, seed=3)
    assert (images.shape, images.dtype) == ((5, 16, 16, 3), np.uint8)
    assert Image.fromarray(images[0]).size == (16, 16)
    assert np.array_equal(trained.sample(2, seed=3, first=3), images[3:])
    assert not np.array_equal(trained.sample(5, seed=4), images)


def test_the_call_has_gradients_and_gives_the_same_images(trained: TrainedGenerator) -> None:
    z = trained.latents(5, seed=3).requires_grad_()
    images = trained(z)
    assert images.shape == (5, 3, 16, 16)
    assert images.abs().max() <= 1
    images.square().sum().backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert z.grad.abs().min(dim=1).values.max() > 0
    pixels = to_uint8(images.detach()).transpose(0, 2, 3, 1)
    assert np.abs(pixels.astype(int) - trained.sample(5, seed=3)).max() <= 1


def test_labels(conditional: TrainedGenerator) -> None:
    z = conditional.latents(4)
    rows = conditional.sample(4, label=[0, 1, 2, 3])
    assert np.array_equal(rows[2:3], conditional.sample(4, label=2)[2:3])
    by_call = to_uint8(conditional(z, torch.arange(4)).detach()).transpose(0, 2, 3, 1)
    assert np.abs(by_call.astype(int) - rows).max() <= 1
    assert conditional.grid(8).size == (2 * 18 + 2, 4 * 18 + 2)
    assert conditional.labels(3, label=1).tolist() == [1, 1, 1]  # type: ignore[union-attr]


def test_it_moves_to_a_device(trained: TrainedGenerator) -> None:
    assert trained.to("cpu") is trained
    assert trained.device == torch.device("cpu")
    assert trained.to("meta").device.type == "meta"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g, c: g.sample(0), "count = 0: must be at least 1"),
        (lambda g, c: g.sample(2.5), "count = 2.5: must be an integer"),
        (lambda g, c: g.sample(3, seed="a"), "seed = 'a': must be an integer"),
        (lambda g, c: g.sample(3, seed=-1), "seed = -1: must be at least 0"),
        (lambda g, c: g.sample(3, label=1), "the generator is unconditional"),
        (lambda g, c: c.sample(3, label=4), "label = 4: must be at least 0 and below 4"),
        (lambda g, c: c.sample(3, label=[1, 2]), "must be an integer, or 3 of them"),
        (lambda g, c: c.sample(3, label=1.5), "must be an integer, or 3 of them"),
        (lambda g, c: g(torch.zeros(2, 9)), r"z is \[2, 9\]: must be \[B, 8\]"),
        (lambda g, c: g(torch.zeros(2, 8), torch.zeros(2)), "takes no labels"),
        (lambda g, c: c(torch.zeros(2, 8)), "needs labels below 4"),
    ],
)
def test_mistakes(
    trained: TrainedGenerator,
    conditional: TrainedGenerator,
    call: object,
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        call(trained, conditional)  # type: ignore[operator]
