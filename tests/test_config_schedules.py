"""Schedules that have nothing to scale or leave a key's range are refused."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from d3gan import config as configs
from d3gan.errors import UserError
from d3gan.fields import Scales
from d3gan.gan.schedules import SCHEDULES
from tests.scheduled import SCHEDULE_KEYS

SCALED = {
    "gan": {"augmentations": ["color"], "penalties": ["r1"]},
    "optim": {"ema_half_life_images": 1000.0},
}


def changed(key: str, value: Any) -> configs.Config:
    config = configs.from_dict(SCALED)
    return configs.validate(configs.from_dict(configs.nested({key: value}), config))


def test_every_schedule_scales_keys_that_exist() -> None:
    assert set(SCHEDULE_KEYS) == {
        "optim.schedule",
        "optim.beta2_schedule",
        "optim.ema_schedule",
        "gan.penalty_schedule",
        "gan.augmentation_schedule",
    }
    for key in SCHEDULE_KEYS:
        for item in configs._metadata()[key]:
            assert not isinstance(item, Scales) or set(item.keys) <= set(configs.keys())


@pytest.mark.parametrize("key", SCHEDULE_KEYS)
@pytest.mark.parametrize("text", [*SCHEDULES, "linear(warmup=100)", "cosine(images=100)"])
def test_epochs_may_change_on_resume_unless_a_schedule_depends_on_them(key: str, text: str) -> None:
    config = changed(key, text)
    longer = configs.from_dict({"train": {"epochs": 99}}, config)
    assert configs.may_change_on_resume("train.epochs", config) != (
        SCHEDULES.build(text).depends_on_length
    )
    if SCHEDULES.build(text).depends_on_length:
        with pytest.raises(UserError, match=rf"because {key} = '.*' depends on it"):
            configs.refuse_changes(config, longer)
    else:
        configs.refuse_changes(config, longer)


REFUSED = [
    ("optim", {"beta2_schedule": "linear(end=1.1)"}, "optim.beta2 = 0.999 times 1.1 is 1.0989;"),
    ("optim", {"beta2": 0.0, "beta2_schedule": "linear"}, "there is nothing to scale; set optim.b"),
    ("optim", {"schedule": "cosine(start=1e6)"}, "optim.lr_g = 0.0002 times 1e+06 is 200; it must"),
    ("optim", {"ema_schedule": "linear"}, "there is nothing to scale; set optim.ema_half_life_im"),
    ("optim", {"ema_half_life_images": 1, "ema_half_life_steps": 2}, "set one of the two"),
    ("optim", {"ema_ramp_up": 2}, "optim.ema_ramp_up = 2.0: must be at least 0 and at most 1"),
    ("gan", {"penalty_schedule": "linear"}, "there is nothing to scale; set gan.penalties"),
    ("gan", {"augmentation_probability": 0.5}, "there is no augmentation; set gan.augmentations"),
    ("gan", {"augmentation_schedule": "linear"}, "there is no augmentation; set gan.augmentatio"),
    ("gan", {"augmentation_probability": 1.5}, "must be at least 0 and at most 1"),
    (
        "gan",
        {
            "augmentations": ["color"],
            "augmentation_probability": 0.6,
            "augmentation_schedule": "linear(end=2)",
        },
        "gan.augmentation_probability = 0.6 times 2 is 1.2; it must be at least 0 and at most 1",
    ),
]


@pytest.mark.parametrize(("section", "values", "message"), REFUSED)
def test_refusals(section: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        configs.validate(configs.from_dict({section: values}))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_recipe_of_the_documentation_is_allowed() -> None:
    page = Path(__file__).parents[1] / "docs" / "schedules.md"
    (recipe,) = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    config = configs.from_dict(tomllib.loads(recipe))
    assert configs.validate(config) == config
    assert configs.may_change_on_resume("train.epochs", config)


def test_the_documentation_names_every_schedule_and_its_keys() -> None:
    text = (Path(__file__).parents[1] / "docs" / "schedules.md").read_text(encoding="utf-8")
    for entry in re.split(r", (?=\w+\b(?!=))", SCHEDULES.describe()):
        assert f"`{entry}`" in text
    assert all(f"`{key}`" in text for key in SCHEDULE_KEYS)


@pytest.mark.parametrize(
    ("optim", "half_life"),
    [({}, 0), ({"ema_half_life_images": 500}, 500), ({"ema_half_life_steps": 10}, 10 * 3 * 16)],
)
def test_the_half_life_in_images(optim: dict[str, Any], half_life: float) -> None:
    sections = {"optim": optim, "train": {"batch_size": 16}, "gan": {"discriminator_steps": 3}}
    assert configs.validate(configs.from_dict(sections)).ema_half_life == half_life
