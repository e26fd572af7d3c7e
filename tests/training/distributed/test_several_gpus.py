"""Recorded steps with NCCL. Skipped where there are fewer than two CUDA devices."""

import time
from pathlib import Path

import pytest
import torch
from tests.program import group, written

from d3gan import config as configs
from d3gan.config import Config

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices here"),
]

TOGETHER = """
import json, pathlib, sys
import numpy as np, torch
from d3gan import config_files
from d3gan.training import distributed
from d3gan.training.distributed import DiscriminatorParallel, make_discriminator_parallel
from d3gan.training.engine import Engine
from d3gan.training.state import make_state

config = config_files.load_file(pathlib.Path(sys.argv[1]))
images = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), np.uint8)

def trained(parallel, device):
    engine = Engine(config, make_state(config, device, parallel), images, device)
    for _ in range(20):
        engine.step()
    return engine

with distributed.process_group("cuda", 60) as device:
    parallel = make_discriminator_parallel(config.train, config.gan.discriminators)
    together = trained(parallel, device)
    assert together._static.graph._graph is not None, "recorded"
    saved = together.state.state_dict()
    if distributed.is_main():
        alone = trained(DiscriminatorParallel(1, 1, config.gan.discriminators), device)
        for part in ("generator", "discriminators", "ema"):
            for name, tensor in getattr(alone.state, part).state_dict().items():
                found = saved[part][name].to(device)
                error = (found - tensor).norm() / tensor.norm().clamp(min=1e-12)
                assert error < 1e-9, (part, name, float(error))
    distributed.barrier()
"""

FAILS = """
import sys
from d3gan.training import distributed
from d3gan.training.engine import Engine
step = Engine.step
def failing(engine):
    if engine.state.step == 20 and distributed.rank() == 1:
        raise ZeroDivisionError("of this rank")
    return step(engine)
Engine.step = failing
from d3gan.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("mesh", ["", "discriminator=2"])
def test_two_devices_train_as_one_and_end(tiny: Config, tmp_path: Path, mesh: str) -> None:
    """The graphs hold NCCL's operations, and the group is destroyed nevertheless."""
    file = written(tiny, tmp_path, train={"device": "cuda", "mesh": mesh, "deterministic": True})
    for end in group(TOGETHER, file, timeout=240):
        assert end.returncode == 0, end.stderr


def test_a_process_that_fails_ends_all(tiny: Config, tmp_path: Path) -> None:
    """Between two replays, which NCCL's watchdog does not see."""
    train = {"device": "cuda", "epochs": 20.0, "timeout_seconds": 20.0}
    file = written(configs.from_dict({"name": "fails"}, tiny), tmp_path, train=train)
    begun = time.monotonic()
    other, failing = group(FAILS, "train", file, timeout=120)
    assert time.monotonic() - begun < 100
    assert failing.returncode == 1
    assert "ZeroDivisionError: of this rank" in failing.stderr
    assert other.returncode not in (0, None)
