"""Counts what one step sends between processes."""

import dataclasses
from pathlib import Path

import pytest
import torch
from tests.program import collectives, written

from d3gan.config import Config
from d3gan.networks.ensemble import Ensemble
from d3gan.training.state import make_state


@pytest.mark.parametrize(
    "n", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)]
)
def test_gradients_once_and_one_score_per_discriminator(
    tiny: Config, tmp_path: Path, n: int
) -> None:
    """G + N * D parameters and N scalars; all discriminators together, no buffers."""
    gan = dataclasses.replace(tiny.gan, discriminators=n)
    config = dataclasses.replace(tiny, gan=gan)
    state = make_state(config, torch.device("cpu"))
    assert isinstance(state.discriminators, Ensemble)
    generator, discriminators = (
        sum(parameter.numel() for parameter in network.parameters())
        for network in (state.generator, state.discriminators)
    )
    found = collectives(written(config, tmp_path))
    scores = [n] if n > 1 else []  # one discriminator needs no weights
    assert sorted(found) == sorted(
        ("gloo:all_reduce", size) for size in (discriminators, generator, *scores)
    )


@pytest.mark.slow
def test_a_rule_per_sample_sends_no_scores(tiny: Config, tmp_path: Path) -> None:
    gan = dataclasses.replace(tiny.gan, aggregation="hardest_per_sample")
    found = collectives(written(dataclasses.replace(tiny, gan=gan), tmp_path))
    assert [kind for kind, _ in found] == 2 * ["gloo:all_reduce"]
