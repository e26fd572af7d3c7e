"""Every objective in the registry: two processes train as one, and a resumed run as one."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from tests.registries import gan_of
from tests.training.distributed.games import train_all

from d3gan import config as configs
from d3gan.config import Config
from d3gan.gan.objectives import OBJECTIVES
from d3gan.training.engine import Engine
from d3gan.training.state import make_state


@pytest.mark.parametrize("mesh", ["data=2", "discriminator=2"])
def test_two_processes_train_as_one(tiny: Config, tmp_path: Path, mesh: str) -> None:
    """With parts of the batch, and with shares of the discriminators, of 7 images each."""
    config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, batch_size=7))
    games = {name: gan_of(name) | {"penalties": ["r1"]} for name in OBJECTIVES}
    found = train_all(config, games, tmp_path, mesh=mesh, processes=2, steps=6)
    assert {name: errors for name, errors in found.items() if max(errors) > 1e-8} == {}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_resumed_run_is_the_undisturbed_one(tiny: Config, objective: str) -> None:
    config = configs.validate(configs.from_dict({"gan": gan_of(objective)}, tiny))
    cpu = torch.device("cpu")
    images = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8).numpy()
    undisturbed = Engine(config, make_state(config, cpu), images, cpu)
    for _ in range(3):
        undisturbed.step()
    resumed = Engine(config, make_state(config, cpu), images, cpu)
    resumed.state.load_state_dict(copy.deepcopy(undisturbed.state.state_dict()))
    for _ in range(2):
        a, b = undisturbed.step(), resumed.step()
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    for network in ("generator", "discriminators", "ema"):
        mine, theirs = (getattr(e.state, network).state_dict() for e in (resumed, undisturbed))
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
