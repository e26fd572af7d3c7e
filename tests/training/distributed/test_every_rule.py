"""Every aggregation rule in the registry: several processes train as one."""

import dataclasses
from pathlib import Path

import pytest
from tests.training.distributed.games import train_all

from d3gan.config import Config
from d3gan.gan.aggregation import AGGREGATIONS

RULES = {name: {"aggregation": name, "discriminators": 3} for name in AGGREGATIONS}


@pytest.mark.slow
def test_every_rule_makes_the_same_choice_on_all_ranks(tiny: Config, tmp_path: Path) -> None:
    found = train_all(tiny, RULES, tmp_path, mesh="", processes=2, steps=20)
    assert {rule: errors for rule, errors in found.items() if max(errors) > 1e-8} == {}


@pytest.mark.slow
def test_every_rule_on_a_mesh_of_four(tiny: Config, tmp_path: Path) -> None:
    """50 steps on shards of 3 and 4 images, and shares of 1 and 2 discriminators."""
    config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, batch_size=7))
    games = {name: game | {"penalties": ["r1(gamma=0.5)"]} for name, game in RULES.items()}
    mesh = "data=2,discriminator=2"
    found = train_all(config, games, tmp_path, mesh=mesh, processes=4, steps=50)
    assert {rule: errors for rule, errors in found.items() if errors[0] > 1e-6} == {}
