"""Remarks on values without effect: exactly where they have none."""

from typing import Any

import pytest
import torch

from d3gan import config as configs
from d3gan import config_files
from d3gan.config import Config
from d3gan.training.preparation import meta_networks
from d3gan.training.remarks import remarks


def found(config: Config, device: str = "cpu") -> list[str]:
    return remarks(config, *meta_networks(config), torch.device(device))


@pytest.mark.parametrize("name", config_files.presets())
def test_presets_give_no_remark(name: str) -> None:
    assert found(configs.validate(config_files.load_preset(name))) == []


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"optim": {"lr_g": 10.0}}, "optim.lr_g = 10 is outside the usual range (1e-06 to 0.01)"),
        (
            {"optim": {"lr_d": 1e-9}},
            "optim.lr_d = 1e-09 is outside the usual range (1e-06 to 0.01)",
        ),
        ({"optim": {"lr_g": 0.01, "lr_d": 1e-6}}, ""),
        (
            {"model": {"architecture": "sngan", "discriminator_norm": "group"}},
            "model.discriminator_norm = 'group' has no effect: sngan has a discriminator",
        ),
        (
            {"model": {"architecture": "r3gan", "generator_norm": "group"}},
            "model.generator_norm = 'group' has no effect: r3gan has a generator",
        ),
        ({"model": {"architecture": "sngan", "generator_norm": "group"}}, ""),
        ({"model": {"discriminator_norm": "group"}}, ""),
        ({"model": {"discriminator_norm": "none"}}, ""),
        ({"gan": {"aggregation": "max"}}, "gan.aggregation = 'max' has no effect"),
        ({"gan": {"aggregation": "max", "discriminators": 2}}, ""),
        ({"gan": {"objective": "wasserstein"}}, "gan.objective = 'wasserstein': nothing limits"),
        (
            {"gan": {"objective": "wasserstein"}, "model": {"architecture": "sngan"}},
            "",
        ),
        (
            {"gan": {"objective": "wasserstein", "penalties": ["wgan_gp"]}},
            "gan.penalties: wgan_gp limits the gradient of each image",
        ),
        (
            {
                "gan": {"objective": "wasserstein", "penalties": ["wgan_gp"]},
                "model": {"discriminator_norm": "group"},
            },
            "",
        ),
        ({"gan": {"penalties": ["r1"]}}, ""),
        ({"optim": {"ema_ramp_up": 0.1}}, "optim.ema_ramp_up = 0.1 has no effect without an EMA"),
        ({"optim": {"ema_ramp_up": 0.1, "ema_half_life_steps": 5.0}}, ""),
        ({"eval": {"patience": 3}}, "eval.patience = 3 has no effect, because eval.every_epochs"),
        ({"eval": {"monitor": "fd"}}, "eval.monitor = 'fd' has no effect, because"),
        (
            {"eval": {"patience": 3, "every_epochs": 10.0}},
            "eval.patience = 3 has no effect: there are 3 evaluations in the run",
        ),
        ({"eval": {"patience": 2, "every_epochs": 10.0}}, ""),
        ({"data": {"flip": True}}, "data.flip = true mirrors the digits of digits"),
        ({"data": {"flip": True, "source": "cifar10"}}, ""),
        ({"train": {"precision": "tf32"}}, "train.precision = 'tf32' has no effect on the CPU"),
    ],
)
def test_a_value_without_effect_gives_one_line(sections: dict[str, Any], line: str) -> None:
    lines = found(configs.validate(configs.from_dict(sections, Config(name="x"))))
    assert len(lines) == bool(line)
    assert all(line in each and len(each) < 160 for each in lines)


def test_tf32_has_an_effect_on_cuda() -> None:
    config = configs.from_dict({"train": {"precision": "tf32"}})
    assert found(config, "cuda") == []


def test_a_plugin_may_use_a_norm_of_its_own() -> None:
    model = {"architecture": "d3gan.networks.r3gan:R3GAN", "generator_norm": "group"}
    assert found(configs.from_dict({"model": model})) == []
