"""Small games of double precision, and fixed batches to play them with."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from tests.small_networks import make_discriminators, make_generator
from torch import nn
from torch.optim import Adam

from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.gan.augment import AUGMENTATIONS
from d3gan.gan.game import Batch, Game, Losses
from d3gan.gan.objectives import OBJECTIVES
from d3gan.gan.penalties import PENALTIES
from d3gan.gan.step import train_step
from d3gan.networks.ensemble import Ensemble

STEPS = 10
BATCH = 6
LATENT = 5


def networks(n: int, norm: str = "batch") -> tuple[nn.Module, Ensemble]:
    shape: dict[str, Any] = {"channels": 1, "width": 2, "norm": norm, "seed": 3}
    generator = make_generator("dcgan", latent_dim=LATENT, **shape)
    return generator.double(), make_discriminators("dcgan", n, **shape).double()


def adam(network: nn.Module) -> Adam:
    return Adam(network.parameters(), 2e-3, (0.5, 0.999))


def batches() -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        real = torch.rand(BATCH, 1, 16, 16, dtype=torch.float64, generator=generator) * 2 - 1
        yield Batch(real, torch.randn(BATCH, LATENT, dtype=torch.float64, generator=generator))


def game(
    generator: nn.Module,
    discriminators: Ensemble,
    rule: str,
    objective: str = "non_saturating",
    penalties: tuple[str, ...] = (),
    augmentations: tuple[str, ...] = (),
) -> Game:
    return Game(
        generator=generator,
        discriminators=discriminators,
        members=range(len(discriminators)),
        optimizer_g=adam(generator),
        optimizer_d=adam(discriminators),
        objective=OBJECTIVES.build(objective),
        aggregation=AGGREGATIONS.build(rule),
        penalties=[PENALTIES.build(text) for text in penalties],
        augmentations=[AUGMENTATIONS.build(text) for text in augmentations],
        expectation=lambda losses: losses.mean(dim=-1),
        mean_over_ranks=lambda x: x,
        all_gather_discriminators=lambda x: x,
        aggregation_state=AGGREGATIONS.build(rule).initial_state(len(discriminators)),
    )


def play(played: Game, n: int, steps: int = STEPS) -> list[Losses]:
    uniform = torch.rand(STEPS, n, 1, generator=torch.Generator().manual_seed(1))[:steps]
    batch = itertools.islice(batches(), steps)
    return [train_step(played, [each], u) for each, u in zip(batch, uniform, strict=True)]


def assert_same_parameters(one: nn.Module, other: nn.Module) -> None:
    for (name, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        error = (a - b).detach().norm() / b.detach().norm()
        assert float(error) < 1e-10, name
