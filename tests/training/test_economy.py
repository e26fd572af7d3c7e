"""What one step sends between processes, counted."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from tests.program import group, written

from d3gan.config import Config
from d3gan.networks.ensemble import Ensemble
from d3gan.training.state import make_state

COUNTED = """
import json, sys
import torch
from torch.profiler import ProfilerActivity, profile
from d3gan.training import distributed, loop
step = loop._Trainer._step
def counting(trainer):
    if trainer.state.step != 5:
        return step(trainer)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        step(trainer)
    if distributed.is_main():
        events = [e for e in profiler.events() if e.name.startswith("gloo:")]
        print(json.dumps([[e.name, e.input_shapes] for e in events]))
loop._Trainer._step = counting
from d3gan.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def collectives(config: Config, folder: Path) -> list[tuple[str, int]]:
    """Each collective of one step of two processes: its kind and how many numbers it moves."""
    main, other = group(COUNTED, "train", written(config, folder))
    assert main.returncode == other.returncode == 0, main.stderr + other.stderr
    found = json.loads(next(line for line in main.stdout.splitlines() if line.startswith("[")))
    return [(name, sum(_product(shape) for shape in shapes)) for name, shapes in found]


def _product(shape: list[int]) -> int:
    result = 1
    for side in shape:
        result *= side
    return result


@pytest.mark.parametrize(
    "n", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)]
)
def test_gradients_once_and_one_score_per_discriminator(
    tiny: Config, tmp_path: Path, n: int
) -> None:
    """G + N * D parameters and N scalars; all discriminators together; no buffers, nothing else."""
    gan = dataclasses.replace(tiny.gan, discriminators=n)
    config = dataclasses.replace(tiny, gan=gan)
    state = make_state(config, torch.device("cpu"))
    assert isinstance(state.discriminators, Ensemble)
    generator, discriminators = (
        sum(parameter.numel() for parameter in network.parameters())
        for network in (state.generator, state.discriminators)
    )
    found = collectives(config, tmp_path)
    assert sorted(found) == sorted(
        [
            ("gloo:all_reduce", discriminators),
            ("gloo:all_reduce", n),
            ("gloo:all_reduce", generator),
        ]
    )


@pytest.mark.slow
def test_a_rule_that_goes_by_the_sample_asks_nobody(tiny: Config, tmp_path: Path) -> None:
    gan = dataclasses.replace(tiny.gan, aggregation="hardest_per_sample")
    found = collectives(dataclasses.replace(tiny, gan=gan), tmp_path)
    assert len(found) == 2
