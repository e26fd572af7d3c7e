"""Products of a training step on CUDA; the settings exist without a device, too."""

from typing import Any

import pytest
import torch

from d3gan import config as configs
from d3gan.bench import limits
from d3gan.bench.timing import make_trainer
from d3gan.config import Config, TrainConfig
from d3gan.data.cache import load_images
from d3gan.training import numerics
from d3gan.training.numerics import training_numerics

CUDA = torch.device("cuda")


def settings() -> dict[str, Any]:
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    return {
        "cudnn": cudnn.allow_tf32,
        "matmul": matmul.allow_tf32,
        "precisions": [x.fp32_precision for x in (cudnn.conv, cudnn.rnn, matmul)],
        "benchmark": cudnn.benchmark,
    }


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp64"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_float32_is_tf32_only_on_request(precision: Any, deterministic: bool) -> None:
    before, allowed = settings(), precision == "tf32"
    train = TrainConfig(precision=precision, deterministic=deterministic)
    with training_numerics(train, CUDA):
        assert settings() == {
            "cudnn": allowed,
            "matmul": allowed,
            "precisions": ["tf32" if allowed else "ieee"] * 3,
            "benchmark": not deterministic,
        }
    assert settings() == before
    with training_numerics(train, torch.device("cpu")):
        assert settings() == before


@pytest.mark.parametrize("kind", ["d3gan", "baseline"])
def test_a_step_is_computed_with_them(
    tiny: Config, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configs.from_dict({"train": {"precision": "tf32"}}, tiny)
    trainer = make_trainer(kind, config, load_images(config.data), torch.device("cpu"))
    seen: list[dict[str, Any]] = []
    trainer.state.optimizer_g.register_step_pre_hook(lambda *_: seen.append(settings()))
    trainer.step()
    enter = numerics.training_numerics
    for module in ("d3gan.training.engine", "d3gan.bench.baseline"):
        monkeypatch.setattr(f"{module}.training_numerics", lambda train, _: enter(train, CUDA))
    trainer.step()
    assert [one["matmul"] for one in seen] == [False, True]


def test_on_a_cpu_tf32_computes_as_fp32(tiny: Config) -> None:
    losses = []
    for precision in ("fp32", "tf32"):
        config = configs.from_dict({"train": {"precision": precision, "autotune": "off"}}, tiny)
        trainer = make_trainer("d3gan", config, load_images(config.data), torch.device("cpu"))
        losses.append([trainer.step()["loss_g"] for _ in range(3)])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_the_limit_of_the_device_is_measured_as_steps_compute(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def timed(work: object, times: int, device: torch.device) -> float:
        seen.append(torch.backends.cuda.matmul.allow_tf32)
        return 1.0

    monkeypatch.setattr(limits, "timed", timed)
    limits.device_limits(torch.device("cpu"), precision)
    assert seen[:5] == [precision == "tf32"] * 5
