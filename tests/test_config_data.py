"""Real images that do not suit the game are refused in one line."""

from typing import Any

import pytest

from d3gan import config as configs
from d3gan.errors import UserError
from d3gan.gan.objectives import OBJECTIVES, JointObjective

JOINT = [name for name in OBJECTIVES if isinstance(OBJECTIVES.build(name), JointObjective)]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({}, r"images are divided among several discriminators, and gan.discriminators = 1"),
        (
            {"gan": {"discriminators": 2}, "model": {"conditional": True}},
            r"data.sharded = true: real and generated images of a conditional model share",
        ),
        (
            {"gan": {"discriminators": 2}, "data": {"swap_every_epochs": 1.0, "sharded": False}},
            r"data.swap_every_epochs = 1: there are no shards to swap; set data.sharded = true",
        ),
    ],
)
def test_shards_that_make_no_sense(sections: dict[str, dict[str, Any]], message: str) -> None:
    data = {"sharded": True} | sections.get("data", {})
    with pytest.raises(UserError, match=message):
        configs.validate(configs.from_dict(sections | {"data": data}))


@pytest.mark.parametrize("objective", JOINT)
def test_a_joint_objective_needs_the_same_images(objective: str) -> None:
    gan = {"objective": objective, "discriminators": 2, "aggregation": "mean"}
    with pytest.raises(UserError, match=r"compares the discriminators on the same images"):
        configs.validate(configs.from_dict({"gan": gan, "data": {"sharded": True}}))


def test_shards_with_swaps_are_allowed() -> None:
    data = {"sharded": True, "swap_every_epochs": 0.5}
    configs.validate(configs.from_dict({"gan": {"discriminators": 2}, "data": data}))
