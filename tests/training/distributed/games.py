"""Train many games in one process group, and compare each with the same game in one process.

The processes train all games one after another, because starting them takes seconds.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.program import group

from d3gan import config as configs
from d3gan.config import Config

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
    losses = [engine.step() for _ in range(steps)][-1]
    return engine.state, losses

def error(mine, theirs):
    return float((mine - theirs).norm() / theirs.norm().clamp(min=1e-12))

config_file, games, mesh, steps = sys.argv[1:]
steps = int(steps)
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


def train_all(
    config: Config,
    games: Mapping[str, dict[str, Any]],
    folder: Path,
    *,
    mesh: str,
    processes: int,
    steps: int,
) -> dict[str, tuple[float, float]]:
    """Train each game, given as a section ``gan``, in several processes and in one.

    Return the largest relative difference of all weights after `steps`, and that of the generator's
    loss in the last step.
    """
    file = folder / "config.toml"
    file.write_text(configs.to_toml(config), encoding="utf-8")
    ends = group(TOGETHER, file, json.dumps(games), mesh, steps, size=processes, timeout=240)
    for end in ends:
        assert end.returncode == 0, "".join(end.stderr for end in ends)
    found = json.loads(ends[0].stdout.splitlines()[-1])
    assert set(found) == set(games)
    return {name: (worst, loss) for name, (worst, loss) in found.items()}
