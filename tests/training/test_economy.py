"""What one step sends between processes, counted."""

import dataclasses
from pathlib import Path

import pytest
import torch
from tests.program import collectives, written

from d3gan.config import Config
from d3gan.networks.ensemble import Ensemble
from d3gan.training.state import make_state


@pytest.mark.parametrize("shared", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "n", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)]
)
def test_gradients_once_and_one_score_per_discriminator(
    tiny: Config, tmp_path: Path, n: int, shared: bool
) -> None:
    """G + N * D parameters and N scalars; all discriminators together; no buffers, nothing else."""
    gan = dataclasses.replace(tiny.gan, discriminators=n)
    train = dataclasses.replace(tiny.train, shared_memory=shared)
    config = dataclasses.replace(tiny, gan=gan, train=train)
    state = make_state(config, torch.device("cpu"))
    assert isinstance(state.discriminators, Ensemble)
    generator, discriminators = (
        sum(parameter.numel() for parameter in network.parameters())
        for network in (state.generator, state.discriminators)
    )
    found = collectives(written(config, tmp_path))
    by = "shared memory" if shared else "gloo:all_reduce"
    meetings = 2 * [("gloo:barrier", 0)] if shared else []
    assert sorted(found) == sorted(
        [(by, discriminators), (by, generator), ("gloo:all_reduce", n), *meetings]
    )


@pytest.mark.slow
def test_a_rule_that_goes_by_the_sample_asks_nobody(tiny: Config, tmp_path: Path) -> None:
    gan = dataclasses.replace(tiny.gan, aggregation="hardest_per_sample")
    found = collectives(written(dataclasses.replace(tiny, gan=gan), tmp_path))
    assert sorted(kind for kind, _ in found) == 2 * ["gloo:barrier"] + 2 * ["shared memory"]
