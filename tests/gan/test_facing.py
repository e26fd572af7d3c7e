"""The generator's step without the discriminators that it does not face, against the whole one."""

import copy
from typing import Any

import pytest
import torch
from tests.gan.playing import assert_same_parameters, game, networks, play
from torch import Tensor, nn

from d3gan.gan import step
from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.gan.facing import weights_before_losses
from d3gan.gan.game import Game

EARLY = ("original", "random", "dropout(p=0.7)", "mean")
"""Rules whose weights are known before the generator's losses are."""


def counted_calls(played: Game) -> list[int]:
    """Count the forward passes of every discriminator from now on."""
    calls = [0] * len(played.members)

    def count(k: int) -> None:
        calls[k] += 1

    for k, member in enumerate(played.discriminators.members):
        member.register_forward_hook(lambda *_, k=k: count(k))
    return calls


@pytest.mark.parametrize("objective", ["non_saturating", "relativistic", "d2gan(alpha=0.2)"])
@pytest.mark.parametrize("rule", EARLY)
def test_skipping_discriminators_changes_nothing(
    rule: str, objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if objective != "non_saturating" and rule == "original":
        return  # the configuration refuses the pair
    generator, ensemble = networks(2 if "d2gan" in objective else 3)
    n = len(ensemble)
    skipping = game(generator, ensemble, rule, objective)
    whole = game(*map(copy.deepcopy, (generator, ensemble)), rule, objective)
    calls, losses = counted_calls(skipping), play(skipping, n)

    def face_all(*given: Any) -> tuple[Tensor | None, None]:
        return weights_before_losses(*given)[0], None

    monkeypatch.setattr(step, "weights_before_losses", face_all)
    all_calls, expected = counted_calls(whole), play(whole, n)
    assert_same_parameters(skipping.generator, whole.generator)
    assert_same_parameters(skipping.discriminators, whole.discriminators)
    assert (sum(calls) < sum(all_calls)) == (rule != "mean")
    for one, other in zip(losses, expected, strict=True):
        for name, value in other.items():
            unknown = one[name].isnan()
            assert not unknown.any() or name.startswith("loss_g_")
            assert not (unknown & (other["weights"] > 0)).any()
            torch.testing.assert_close(one[name][~unknown], value[~unknown])


@pytest.mark.parametrize("rule", AGGREGATIONS)
def test_rules_that_need_no_scores_do_not_depend_on_them(rule: str) -> None:
    built = AGGREGATIONS.build(rule)
    if built.needs_scores:
        return
    uniform, scores = torch.rand(5, 1), torch.rand(2, 5, 1)
    one, other = (built.weights(score, uniform) for score in scores)
    assert torch.equal(one, other)


class Remembering(nn.Module):
    """A discriminator with a buffer that every forward pass changes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(256, 1)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(images.flatten(1))[:, 0]


def test_discriminators_with_buffers_are_not_skipped() -> None:
    generator, ensemble = networks(2)
    ensemble.members = nn.ModuleList([Remembering().double(), Remembering().double()])
    played = game(generator, ensemble, "random")
    _, faced = weights_before_losses(played, None, torch.tensor([[0.1], [0.9]]), torch.zeros(1))
    assert faced is None
    losses = play(played, 2, steps=3)
    assert not any(value.isnan().any() for one in losses for value in one.values())
    assert [int(member.calls) for member in ensemble.members] == [9, 9]


@pytest.mark.parametrize("objective", ["non_saturating", "relativistic"])
@pytest.mark.parametrize("rule", ["original", "random"])
def test_a_choice_that_only_the_device_knows(
    rule: str, objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a GPU computes, which must not tell the host which discriminator it has chosen."""
    if objective != "non_saturating" and rule == "original":
        return  # the configuration refuses the pair
    generator, ensemble = networks(3)
    on_host = game(*map(copy.deepcopy, (generator, ensemble)), rule, objective)
    expected = play(on_host, 3)

    def on_device(*given: Any) -> tuple[Tensor | None, Tensor]:
        w, _ = weights_before_losses(*given)
        assert w is not None
        return w, w.argmax(dim=0)

    monkeypatch.setattr(step, "weights_before_losses", on_device)
    choosing = game(generator, ensemble, rule, objective)
    losses = play(choosing, 3)
    assert_same_parameters(choosing.generator, on_host.generator)
    assert_same_parameters(choosing.discriminators, on_host.discriminators)
    for one, other in zip(losses, expected, strict=True):
        torch.testing.assert_close(one, other, equal_nan=True)
