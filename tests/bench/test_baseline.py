"""Every engine computes what the reference computes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.program import weights

from d3gan import config as configs
from d3gan.acceleration.cuda_graph import GraphedEngine
from d3gan.bench import baseline
from d3gan.config import Config
from d3gan.data.cache import load_images
from d3gan.errors import UserError
from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.gan.step import StepLosses
from d3gan.training.engines import ENGINES, Engine
from d3gan.training.state import make_state
from d3gan.training.trainer import train

CPU = torch.device("cpu")
KINDS: dict[str, type[Engine]] = {**ENGINES, "graphed": GraphedEngine}
FASTER = sorted(set(KINDS) - {"reference"})


def made(config: Config, engine: str, **sections: dict[str, Any]) -> Engine:
    name = engine if engine in ENGINES else "fast"
    train = {"train": {**sections.pop("train", {}), "engine": name}}
    config = configs.validate(configs.from_dict(sections | train, config))
    return KINDS[engine](config, make_state(config, CPU), load_images(config.data).images, CPU)


def run(engine: Engine, steps: int) -> list[StepLosses]:
    return [engine.step() for _ in range(steps)]


def assert_same(one: Engine, other: Engine, tolerance: float) -> None:
    for network in ("generator", "discriminators", "average"):
        mine, theirs = (getattr(e.state, network).state_dict() for e in (one, other))
        for name, tensor in theirs.items():
            difference = (mine[name] - tensor).double().norm() / tensor.double().norm()
            assert difference < tolerance, (network, name)


@pytest.mark.parametrize("rule", AGGREGATIONS)
@pytest.mark.parametrize("name", FASTER)
def test_twenty_steps_by_every_rule_are_those_of_the_reference(
    tiny: Config, name: str, rule: str
) -> None:
    sections: dict[str, dict[str, Any]] = {
        "gan": {"aggregation": rule, "discriminators": 3, "r1_gamma": 0.5},
        "data": {"flip": True},
        "train": {"epochs": 4.0},
    }
    reference, engine = (made(tiny, kind, **sections) for kind in ("reference", name))
    theirs, mine = run(reference, 20), run(engine, 20)
    assert_same(engine, reference, 1e-8)
    for a, b in zip(mine, theirs, strict=True):
        for one, other in zip(a, b, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", FASTER)
@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("objective", ["hinge", "least_squares"])
def test_twenty_steps_of_other_games(tiny: Config, name: str, norm: str, objective: str) -> None:
    sections = {
        "gan": {"objective": objective, "discriminators": 1, "discriminator_steps": 2},
        "model": {"generator_norm": norm, "discriminator_norm": norm},
        "optim": {"schedule": "linear_decay"},
    }
    reference, engine = (made(tiny, kind, **sections) for kind in ("reference", name))
    run(reference, 20), run(engine, 20)
    assert_same(engine, reference, 1e-8)


@pytest.mark.parametrize("name", FASTER)
def test_the_first_losses_in_float32(tiny: Config, name: str) -> None:
    train = {"precision": "fp32"}
    theirs, mine = (run(made(tiny, kind, train=train), 3) for kind in ("reference", name))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.loss_g, b.loss_g, rtol=1e-4, atol=0)
        torch.testing.assert_close(a.real, b.real, rtol=1e-4, atol=0)
        torch.testing.assert_close(a.fake, b.fake, rtol=1e-4, atol=0)


def test_the_reference_trains_a_run_and_goes_on(tiny: Config) -> None:
    def trained(name: str, *epochs: float) -> Path:
        for number, stop in enumerate(epochs):
            sections = {"name": name, "train": {"engine": "reference", "epochs": stop}}
            run = train(configs.from_dict(sections, tiny), resume=number > 0)
        return run.path

    whole, halves = weights(trained("whole", 2.0)), weights(trained("halves", 1.0, 2.0))
    assert all(torch.equal(halves[name], whole[name]) for name in whole)


def test_the_reference_is_for_one_process(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline.distributed, "world_size", lambda: 2)
    with pytest.raises(UserError, match=r"train\.engine = 'reference': is for one process"):
        made(tiny, "reference")


def test_the_reference_knows_no_bf16(tiny: Config) -> None:
    with pytest.raises(UserError, match="knows fp32 and fp64"):
        made(tiny, "reference", train={"precision": "bf16"})
