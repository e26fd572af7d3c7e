"""Training on a CUDA device gives the results of the CPU. Skipped without a device.

`pytest -m gpu` runs these tests; benchmarks/gpu.sh does, too.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tests.program import weights
from tests.scheduled import SCHEDULED
from tests.small_networks import make_discriminators

from d3gan import config as configs
from d3gan.acceleration.cuda_graph import fastest_way
from d3gan.config import Config, EvalConfig, TrainConfig
from d3gan.config_files import load_preset
from d3gan.data.cache import load_images
from d3gan.evaluation.evaluator import Evaluator
from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.networks.ensemble import Ensemble, Way
from d3gan.training import engine as engines
from d3gan.training.engine import Engine
from d3gan.training.inference import load
from d3gan.training.measuring import measure_generator
from d3gan.training.numerics import training_numerics
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


def is_replayed(made: Engine) -> bool:
    """Return whether the step has been recorded as a graph."""
    return (
        made._static is not None
        and made._static.graph is not None
        and (made._static.graph._graph is not None)
    )


WITH_FIXED_BETA2 = {**SCHEDULED, "optim": {**SCHEDULED["optim"], "beta2_schedule": "constant"}}


@pytest.mark.parametrize("sections", [{}, WITH_FIXED_BETA2, SCHEDULED])
def test_graphed_steps_equal_eager_steps(
    tiny: Config, sections: dict[str, dict[str, object]]
) -> None:
    config = configs.from_dict(sections, on("cuda", tiny, epochs=4.0))
    graphed, launched = engine(config), engine(config, graph=False)
    for _ in range(20):
        graphed.step(), launched.step()
    assert is_replayed(graphed) == (sections != SCHEDULED)
    for network in ("generator", "discriminators", "ema"):
        mine, theirs = (getattr(e.state, network).state_dict() for e in (graphed, launched))
        for name, tensor in theirs.items():
            torch.testing.assert_close(mine[name], tensor, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("rule", AGGREGATIONS)
def test_every_rule_graphed_equals_eager(tiny: Config, rule: str, count: int) -> None:
    gan = {
        "aggregation": rule,
        "discriminators": count,
        "penalties": ["r1", "wgan_gp"],
        "augmentations": ["color", "cutout"],
        "discriminator_steps": 2,
        "fresh_batch": True,
    }
    config = configs.from_dict({"gan": gan}, on("cuda", tiny, epochs=8.0))
    images, cuda = load_images(config.data).images, torch.device("cuda")
    graphed = Engine(config, make_state(config, cuda), images, cuda)  # graphed if it can be
    launched = engine(config, graph=False)
    for _ in range(8):
        one, other = graphed.step(), launched.step()
    assert is_replayed(graphed) != (rule == "minimum_norm" and count > 1)
    for name, loss in other.items():
        torch.testing.assert_close(one[name], loss, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_real_networks_with_batch_norm_are_recorded(precision: str) -> None:
    """In the way that is fastest, with algorithms chosen by measuring."""
    config = configs.from_dict(
        {"gan": {"discriminators": 2}, "train": {"precision": precision, "batch_size": 16}},
        load_preset("cifar10-d3gan"),
    )
    images, cuda = np.zeros((64, 3, 32, 32), np.uint8), torch.device("cuda")
    made = Engine(config, make_state(config, cuda), images, cuda)
    for _ in range(8):
        losses = made.step()
    assert is_replayed(made)
    assert all(bool(loss.isfinite().all()) for loss in losses.values())


@pytest.mark.parametrize("kind", ["read", "error"])
def test_training_continues_after_a_failed_recording(
    tiny: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """`train_step` waits for the device, or fails on the host, while it is recorded."""
    config = on("cuda", tiny, epochs=8.0)
    train_step = engines.train_step

    def failing(*arguments: Any, **options: Any) -> Any:
        losses = train_step(*arguments, **options)
        if torch.cuda.is_current_stream_capturing():
            if kind == "read":
                losses["loss_g"].item()
            raise RuntimeError("on the host")
        return losses

    before, launched = torch.cuda.current_stream(), engine(config, graph=False)
    monkeypatch.setattr(engines, "train_step", failing)
    graphed = engine(config)
    reserved = []
    for _ in range(20):
        graphed.step()
        assert torch.cuda.current_stream() == before
        reserved.append(torch.cuda.memory_reserved())
    (line,) = capsys.readouterr().err.splitlines()
    reason = "capturing" if kind == "read" else "on the host"
    assert "cannot be recorded as a CUDA graph" in line
    assert reason in line
    assert reserved[-1] == reserved[8], "memory grows"
    for _ in range(20):
        launched.step()
    mine, theirs = (e.state.generator.state_dict() for e in (graphed, launched))
    for name, tensor in theirs.items():
        torch.testing.assert_close(mine[name], tensor, rtol=1e-6, atol=1e-9)


def test_a_way_that_fails_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """For lack of memory, or because it makes the device wait."""
    shape = {"resolution": 16, "channels": 3, "width": 4, "norm": "none", "seed": 0}
    ensemble = make_discriminators("dcgan", 3, **shape).cuda()
    images = torch.zeros(4, 3, 16, 16, device="cuda")

    def too_large(self: Ensemble, *_: object) -> torch.Tensor:
        return torch.empty(2**50, device="cuda")

    def reading(self: Ensemble, batches: Sequence[torch.Tensor], *_: object) -> None:
        batches[0].sum().item()
        raise RuntimeError

    monkeypatch.setattr(Ensemble, "_stacked", too_large)
    monkeypatch.setattr(Ensemble, "_concurrent", reading)
    assert fastest_way(ensemble, images, None) == "sequential"
    ensemble.way = "sequential"
    assert ensemble(images).shape == (3, 4)


def test_fp32_is_not_tf32() -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    x, w = (
        torch.randn(shape, generator=generator, device="cuda")
        for shape in ((8, 64, 16, 16), (64, 64, 3, 3))
    )
    exact = torch.conv2d(x.double(), w.double())
    errors = {}
    for precision in ("fp32", "tf32"):
        with training_numerics(TrainConfig(precision=precision), torch.device("cuda")):  # type: ignore[arg-type]
            found = torch.conv2d(x, w)
            product = w.view(64, -1) @ w.view(64, -1).T
        errors[precision] = float((found - exact).norm() / exact.norm())
        exact_product = w.view(64, -1).double() @ w.view(64, -1).double().T
        errors[f"{precision} product"] = float(
            (product - exact_product).norm() / exact_product.norm()
        )
    assert errors["fp32"] < 1e-5 < 5e-5 < errors["tf32"], errors
    assert errors["fp32 product"] < 2e-6, errors


@pytest.mark.parametrize("resident", ["always", "never"])
@pytest.mark.parametrize("graph", [True, False])
def test_a_step_never_waits_for_the_device(tiny: Config, graph: bool, resident: str) -> None:
    made = engine(
        configs.from_dict(
            {"data": {"resident": resident, "flip": True}}, on("cuda", tiny, epochs=8.0)
        ),
        graph=graph,
    )
    for _ in range(6):
        made.step()
    try:  # longer than latents are drawn ahead
        torch.cuda.set_sync_debug_mode("error")
        for _ in range(20):
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
