"""Small networks for tests, by keyword."""

from typing import Any

from torch import nn

from d3gan import config as configs
from d3gan.config import Config
from d3gan.networks.ensemble import Ensemble
from d3gan.training import build


def _config(
    resolution: int, channels: int, width: int, norm: str, seed: int, **model: Any
) -> Config:
    sides = {"generator_width": width, "discriminator_width": width}
    norms = {"generator_norm": norm, "discriminator_norm": norm}
    data = {"resolution": resolution, "channels": channels}
    return configs.from_dict({"seed": seed, "data": data, "model": sides | norms | model})


def make_generator(
    architecture: str = "dcgan",
    *,
    resolution: int = 16,
    channels: int = 3,
    latent_dim: int = 8,
    width: int = 4,
    norm: str = "batch",
    seed: int = 0,
    classes: int = 0,
) -> nn.Module:
    config = _config(
        resolution, channels, width, norm, seed,
        architecture=architecture, latent_dim=latent_dim, conditional=classes > 0,
    )  # fmt: skip
    return build.build_generator(config, classes)


def make_discriminators(
    architecture: str = "dcgan",
    count: int = 1,
    *,
    resolution: int = 16,
    channels: int = 3,
    width: int = 4,
    norm: str = "batch",
    seed: int = 0,
    classes: int = 0,
    members: tuple[str, ...] = (),
    views: tuple[str, ...] = (),
) -> Ensemble:
    config = _config(
        resolution, channels, width, norm, seed,
        architecture=architecture, conditional=classes > 0,
    )  # fmt: skip
    gan = {"discriminators": len(members) or count, "members": list(members), "views": list(views)}
    return build.build_discriminators(configs.from_dict({"gan": gan}, config), classes)
