"""When a step is recorded as a CUDA graph, and what a run does if that fails."""

from typing import Any

import pytest
import torch

from d3gan import config as configs
from d3gan.bench.worker import Silent
from d3gan.config import Config
from d3gan.data.cache import load_images
from d3gan.training import distributed
from d3gan.training.build import build_rules
from d3gan.training.distributed import DiscriminatorParallel, discriminator_parallel
from d3gan.training.engine import Engine
from d3gan.training.state import make_state
from d3gan.training.static_step import is_recorded

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ONE, FOUR = (1, 1, 3), (2, 2, 3)


def recorded(
    config: Config,
    shape: tuple[int, int, int] = ONE,
    device: torch.device = CUDA,
    kind: type[DiscriminatorParallel] = DiscriminatorParallel,
    **sections: Any,
) -> bool:
    config = configs.from_dict({"gan": {"discriminators": 3}}, config)
    config = configs.from_dict(sections, config)
    return is_recorded(config, build_rules(config.gan), kind(*shape), device)


@pytest.mark.parametrize("kind", [DiscriminatorParallel, Silent])
def test_a_step_is_recorded_where_nothing_forbids_it(
    tiny: Config, monkeypatch: pytest.MonkeyPatch, kind: type[DiscriminatorParallel]
) -> None:
    monkeypatch.setattr(distributed.collectives, "world_size", lambda: 4)
    for backend in ("nccl", "gloo"):
        monkeypatch.setattr(discriminator_parallel, "backend_of", lambda device, b=backend: b)
        assert recorded(tiny, ONE, kind=kind), "alone among four processes, as in one process"
        assert recorded(tiny, FOUR, kind=kind) == (backend == "nccl")
    assert not recorded(tiny, device=CPU)


@pytest.mark.parametrize("count", [1, 3])
def test_rules_that_compute_on_the_host_are_not_recorded(tiny: Config, count: int) -> None:
    gan = {"aggregation": "minimum_norm", "discriminators": count}
    assert recorded(tiny, gan=gan) == (count == 1)


@pytest.mark.parametrize("schedule", ["constant", "linear(start=0.9, end=1)"])
def test_a_schedule_of_beta2_is_not_recorded(tiny: Config, schedule: str) -> None:
    assert recorded(tiny, optim={"beta2_schedule": schedule}) == (schedule == "constant")


def test_training_continues_without_a_graph(
    tiny: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    def engine() -> Engine:
        return Engine(tiny, make_state(tiny, CPU), load_images(tiny.data).images, CPU, graph=True)

    interrupted, whole = engine(), engine()
    for step in range(4):
        if step == 2:
            static = interrupted._static
            assert static is not None
            assert not static._gives_up("")
            assert capsys.readouterr().err == ""
            assert static._gives_up("no such kernel")
            (line,) = capsys.readouterr().err.splitlines()
            assert "cannot be recorded as a CUDA graph (no such kernel)" in line
            assert all(p.grad is None for p in interrupted.state.generator.parameters())
        one, other = interrupted.step(), whole.step()
        assert torch.equal(one["loss_g"], other["loss_g"])


def test_adam_is_not_capturable(tiny: Config) -> None:
    """torch warns of steps that are not recorded otherwise; `capturable` sets it for the time."""
    state = make_state(tiny, torch.device("meta"), initialise=False)
    for optimizer in (state.optimizer_g, state.optimizer_d):
        assert optimizer.param_groups[0]["fused"]
        assert not optimizer.param_groups[0]["capturable"]
