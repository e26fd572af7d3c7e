"""Training on a CUDA device gives the results of the CPU. Skipped without a device."""

import pytest
import torch
from tests.program import weights
from tests.scheduled import SCHEDULED
from tests.small_networks import make_discriminators

from d3gan import config as configs
from d3gan.config import Config, EvalConfig
from d3gan.data.cache import load_images
from d3gan.evaluation.evaluator import Evaluator
from d3gan.networks.ensemble import Way
from d3gan.training.engine import Engine
from d3gan.training.inference import load, measure_generator
from d3gan.training.state import make_state
from d3gan.training.trainer import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def on(device: str, config: Config, **train_keys: object) -> Config:
    keys = {"device": device, "log_every_steps": 1, "deterministic": True, **train_keys}
    return configs.from_dict({"name": device, "train": keys}, config)


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_the_first_steps_are_those_of_the_cpu(tiny: Config, precision: str) -> None:
    cpu, cuda = (
        train(on(device, tiny, precision=precision)).metrics()[:3] for device in ("cpu", "cuda")
    )
    tolerance = {"fp32": 1e-4, "fp64": 1e-9}[precision]
    for one, other in zip(cpu, cuda, strict=True):
        assert one["loss_d"] == pytest.approx(other["loss_d"], rel=tolerance)
        assert one["chosen"] == other["chosen"]


def test_a_run_resumes_bit_for_bit(tiny: Config) -> None:
    whole = train(configs.from_dict({"name": "whole"}, on("cuda", tiny)))
    train(on("cuda", tiny, epochs=1.0))
    run = train(on("cuda", tiny), resume=True)
    one, other = weights(run.path), weights(whole.path)
    assert all(torch.equal(one[name], other[name]) for name in other)


def engine(config: Config, *, graph: bool = True) -> Engine:
    cuda = torch.device("cuda")
    images = load_images(config.data).images
    return Engine(config, make_state(config, cuda), images, cuda, graph=graph)


WITH_FIXED_BETA2 = {**SCHEDULED, "optim": {**SCHEDULED["optim"], "beta2_schedule": "constant"}}


@pytest.mark.parametrize("sections", [{}, WITH_FIXED_BETA2, SCHEDULED])
def test_graphed_steps_equal_eager_steps(
    tiny: Config, sections: dict[str, dict[str, object]]
) -> None:
    config = configs.from_dict(sections, on("cuda", tiny, epochs=4.0))
    graphed, launched = engine(config), engine(config, graph=False)
    for _ in range(20):
        graphed.step(), launched.step()
    for network in ("generator", "discriminators", "ema"):
        mine, theirs = (getattr(e.state, network).state_dict() for e in (graphed, launched))
        for name, tensor in theirs.items():
            torch.testing.assert_close(mine[name], tensor, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("resident", ["always", "never"])
@pytest.mark.parametrize("graph", [True, False])
def test_a_step_never_waits_for_the_device(tiny: Config, graph: bool, resident: str) -> None:
    made = engine(
        configs.from_dict({"data": {"resident": resident, "flip": True}}, on("cuda", tiny)),
        graph=graph,
    )
    for _ in range(6):
        made.step()
    try:
        torch.cuda.set_sync_debug_mode("error")
        for _ in range(3):
            made.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("way", ["stacked", "concurrent"])
def test_discriminators_compute_the_same_every_way(way: Way) -> None:
    shape = {"resolution": 16, "channels": 3, "width": 4, "norm": "batch", "seed": 0}
    ensemble = make_discriminators("dcgan", 3, **shape).double().cuda()
    images = torch.randn(5, 3, 16, 16, dtype=torch.float64, device="cuda")
    found = {}
    for each in ("sequential", way):
        ensemble.way = each
        logits = ensemble(images, -images)
        found[each] = [logits, *torch.autograd.grad(logits.sin().sum(), ensemble.parameters())]
    for mine, theirs in zip(found[way], found["sequential"], strict=True):
        torch.testing.assert_close(mine, theirs)


def test_bf16_trains(tiny: Config) -> None:
    assert train(on("cuda", tiny, precision="bf16")).metrics()[-1]["step"] == 10


def test_evaluation_gives_the_numbers_of_the_cpu(measured: Config) -> None:
    """The same generator, real images and classifier; images differ by one grey value at most."""
    run = train(on("cpu", measured))
    trained, data = load(run.path), measured.data
    cpu, cuda = (
        measure_generator(
            Evaluator(
                data,
                load_images(data),
                EvalConfig(samples=150, features="classifier"),
                torch.device(name),
            ),
            trained.generator.to(name),
            measured.model.latent_dim,
            ema=True,
        ).to_dict()
        for name in ("cpu", "cuda")
    )
    assert cpu["protocol"] == cuda["protocol"]
    assert cuda["fd"] == pytest.approx(cpu["fd"], rel=1e-2)
    assert cuda["kd"] == pytest.approx(cpu["kd"], rel=1e-2)
