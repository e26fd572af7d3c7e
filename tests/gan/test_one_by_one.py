"""Discriminators that are differentiated one after another, against all of them together."""

import copy
import dataclasses

import pytest
import torch
from tests.gan.playing import assert_same_parameters, game, networks, play

from d3gan.gan.game import Batch
from d3gan.gan.losses import at_once
from d3gan.gan.objectives import OBJECTIVES, JointObjective
from d3gan.gan.step import train_step


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("penalties", [(), ("r1(gamma=0.5)", "r2(gamma=0.5)"), ("wgan_gp",)])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_results_are_the_same(
    objective: str, penalties: tuple[str, ...], accumulate: int
) -> None:
    generator, ensemble = networks(2, norm="group")
    augmentations = ("color", "translation")
    together = game(generator, ensemble, "mean", objective, penalties, augmentations)
    together = dataclasses.replace(together, accumulate=accumulate)
    other = game(*map(copy.deepcopy, (generator, ensemble)), "mean", objective, penalties,
                 augmentations)  # fmt: skip
    apart = dataclasses.replace(other, accumulate=accumulate, one_by_one=True)
    random = torch.Generator().manual_seed(3)
    for _ in range(3):
        real, z = torch.rand(6, 1, 16, 16, generator=random), torch.randn(6, 5, generator=random)
        draws = torch.rand(4, 6, 5, generator=random), torch.rand(6, 1, generator=random)
        batch = Batch(*(x.double() for x in (real, z)), None, *(x.double() for x in draws))
        one, two = (train_step(each, [batch], torch.zeros(2, 1)) for each in (together, apart))
        torch.testing.assert_close(two, one)
    assert_same_parameters(apart.generator, together.generator)
    assert_same_parameters(apart.discriminators, together.discriminators)


def test_only_one_graph_exists_at_a_time() -> None:
    """That of the first discriminator is gone when the second one is computed."""
    generator, ensemble = networks(2)
    played = dataclasses.replace(game(generator, ensemble, "mean"), one_by_one=True)
    order: list[str] = []
    for k, member in enumerate(ensemble.members):
        member.register_forward_hook(lambda *_, k=k: order.append(f"forward {k}"))
        first = next(iter(member.parameters()))
        first.register_hook(lambda _, k=k: order.append(f"backward {k}"))
    play(played, 2, steps=1)
    expected = [["forward"] * 2 + ["backward"] for _ in range(2)]
    assert order[:6] == [f"{what} {k}" for k, each in enumerate(expected) for what in each]


def test_joint_objectives_and_images_of_each_are_computed_together() -> None:
    generator, ensemble = networks(2)
    own = Batch(torch.zeros(2, 6, 1, 16, 16), torch.zeros(6, 5))
    shared = Batch(torch.zeros(6, 1, 16, 16), torch.zeros(6, 5))
    for objective in OBJECTIVES:
        played = dataclasses.replace(game(generator, ensemble, "mean", objective), one_by_one=True)
        joint = isinstance(played.objective, JointObjective)
        assert at_once(played, shared) == ([None] if joint else [[0], [1]])
        assert at_once(played, own) == [None]
