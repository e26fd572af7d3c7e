"""The values of each step, against closed forms of the images seen."""

import math
from typing import Any

import pytest

from d3gan import config as configs
from d3gan.config import Config
from d3gan.training.schedule import StepValues, make_schedule

IMAGES = 1000


def values(*steps: int, **sections: dict[str, Any]) -> list[StepValues]:
    train = {"batch_size": 10, "epochs": 4.0}
    config = configs.from_dict({"train": train, **sections}, Config())
    schedule = make_schedule(configs.validate(config), IMAGES)
    return [schedule(step) for step in steps]


def test_by_default_all_values_are_those_of_the_configuration() -> None:
    for found in values(0, 7, 399):
        assert found[:3] == (2e-4, 2e-4, 0.999)
        assert found.penalty_factor == 1
        assert found.augmentation_probability is None


def test_the_learning_rates_share_a_schedule() -> None:
    optim = {"lr_g": 1e-3, "lr_d": 4e-3, "schedule": "cosine(end=0.2, images=2000, warmup=1000)"}
    for step, found in enumerate(values(*range(400), optim=optim)):
        seen = 10 * step
        share = min(1, max(0, (seen - 1000) / 2000))
        factor = min(1, seen / 1000) * (0.2 + 0.8 * (1 + math.cos(math.pi * share)) / 2)
        assert found.lr_g == pytest.approx(1e-3 * factor, rel=1e-12)
        assert found.lr_d == pytest.approx(4e-3 * factor, rel=1e-12)


def test_every_value_has_a_schedule_of_its_own() -> None:
    optim = {
        "beta2": 0.9,
        "beta2_schedule": "linear(end=1.1, images=2000)",
        "ema_half_life_images": 400.0,
        "ema_schedule": "linear(start=0, end=1, images=4000)",
        "ema_ramp_up": 0,
    }
    gan = {
        "penalties": ["r1(gamma=0.05)"],
        "penalty_schedule": "linear(end=0.1)",
        "augmentations": ["color"],
        "augmentation_probability": 0.6,
        "augmentation_schedule": "constant(warmup=2000)",
    }
    first, middle, late = values(0, 100, 300, optim=optim, gan=gan)
    assert (first.lr_g, middle.lr_g, late.lr_g) == (2e-4, 2e-4, 2e-4)
    assert [first.beta2, middle.beta2, late.beta2] == pytest.approx([0.9, 0.945, 0.99])
    decays = [0, 0.5 ** (10 / 100), 0.5 ** (10 / 300)]
    assert [first.ema_decay, middle.ema_decay, late.ema_decay] == pytest.approx(decays)
    factors = [x.penalty_factor for x in (first, middle, late)]
    assert factors == pytest.approx([1, 0.775, 0.325])
    probabilities = [x.augmentation_probability for x in (first, middle, late)]
    assert probabilities == pytest.approx([0, 0.3, 0.6])


def test_images_seen_count_every_update_of_the_discriminators() -> None:
    optim = {"schedule": "linear(images=3000)"}
    found = values(0, 50, 99, optim=optim, gan={"discriminator_steps": 3})
    factors = [each.lr_g / 2e-4 for each in found]
    assert factors == pytest.approx([1, 1 - 50 * 30 / 3000, 1 - 99 * 30 / 3000])


def test_a_half_life_in_steps() -> None:
    (found,) = values(
        99,
        optim={"ema_half_life_steps": 20.0, "ema_ramp_up": 0},
        gan={"discriminator_steps": 2},
    )
    assert found.ema_decay == pytest.approx(0.5 ** (1 / 20), rel=1e-14)


def test_the_ramp_up_counts_the_images_of_the_step() -> None:
    (found,) = values(0, optim={"ema_half_life_images": 400.0, "ema_ramp_up": 0.5})
    assert found.ema_decay == pytest.approx(0.5 ** (10 / 5), rel=1e-14)
