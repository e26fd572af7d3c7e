"""Every objective in the registry: two processes train as one, and a resumed run as one.

The processes of a group train all games one after another, because starting them takes seconds.
"""

import copy
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from tests.program import group
from tests.registries import gan_of

from d3gan import config as configs
from d3gan.config import Config
from d3gan.gan.objectives import OBJECTIVES
from d3gan.training.engine import Engine
from d3gan.training.state import make_state

TOGETHER = """
import json, pathlib, sys
import numpy as np, torch
from d3gan import config as configs, config_files
from d3gan.training import distributed
from d3gan.training.distributed import DiscriminatorParallel, make_discriminator_parallel
from d3gan.training.engine import Engine
from d3gan.training.state import make_state

def trained(config, parallel, images, device):
    engine = Engine(config, make_state(config, device, parallel), images, device)
    losses = [engine.step() for _ in range(6)][-1]
    return engine.state, losses

def error(mine, theirs):
    return float((mine - theirs).norm() / theirs.norm().clamp(min=1e-12))

config_file, games, mesh = sys.argv[1:]
base = config_files.load_file(pathlib.Path(config_file))
images = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), np.uint8)
found = {}
with distributed.process_group("cpu", 60) as device:
    for name, gan in json.loads(games).items():
        config = configs.from_dict({"gan": gan, "train": {"mesh": mesh}}, base)
        config = configs.validate(config)
        parallel = make_discriminator_parallel(config.train, config.gan.discriminators)
        together, losses = trained(config, parallel, images, device)
        together = together.state_dict()  # of all discriminators
        loss_g = distributed.mean_over_ranks(losses["loss_g"].clone())
        if distributed.is_main():
            one = DiscriminatorParallel(1, 1, config.gan.discriminators)
            alone, expected = trained(config, one, images, device)
            worst = max(
                error(together[part][key], tensor)
                for part in ("generator", "discriminators", "ema")
                for key, tensor in getattr(alone, part).state_dict().items()
            )
            found[name] = [worst, error(loss_g, expected["loss_g"])]
        distributed.barrier()
if distributed.is_main():
    print(json.dumps(found))
"""


@pytest.mark.parametrize("mesh", ["data=2", "discriminator=2"])
def test_two_processes_train_as_one(tiny: Config, tmp_path: Path, mesh: str) -> None:
    """With parts of the batch, and with shares of the discriminators, of 7 images each."""
    config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, batch_size=7))
    file = tmp_path / "config.toml"
    file.write_text(configs.to_toml(config), encoding="utf-8")
    games = {name: gan_of(name) | {"penalties": ["r1"]} for name in OBJECTIVES}
    main, other = group(TOGETHER, file, json.dumps(games), mesh)
    assert main.returncode == other.returncode == 0, main.stderr + other.stderr
    found = json.loads(main.stdout.splitlines()[-1])
    assert set(found) == set(OBJECTIVES)
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
