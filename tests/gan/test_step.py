"""The step against plain loops, written out as most people would write them."""

import copy

import pytest
import torch
from tests.gan.playing import BATCH, adam, assert_same_parameters, batches, game, networks, play
from tests.losses import unknown
from torch import Tensor, nn
from torch.nn.functional import softplus

from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.gan.game import Batch
from d3gan.gan.losses import frozen
from d3gan.gan.objectives import OBJECTIVES
from d3gan.gan.step import train_step


@pytest.mark.parametrize("rule", AGGREGATIONS)
def test_one_discriminator_is_dcgan_whatever_the_rule(rule: str) -> None:
    generator, ensemble = networks(1)
    plain_g, plain_d = copy.deepcopy(generator), copy.deepcopy(ensemble.members[0])
    play(game(generator, ensemble, rule), 1)

    # The DCGAN tutorial's loop.
    criterion = nn.BCEWithLogitsLoss()
    optimizer_g, optimizer_d = adam(plain_g), adam(plain_d)
    ones = torch.ones(BATCH, dtype=torch.float64)
    zeros = torch.zeros(BATCH, dtype=torch.float64)
    for real, z, *_ in batches():
        plain_d.zero_grad()
        criterion(plain_d(real), ones).backward()
        fake = plain_g(z)
        criterion(plain_d(fake.detach()), zeros).backward()
        optimizer_d.step()
        plain_g.zero_grad()
        criterion(plain_d(fake), ones).backward()
        optimizer_g.step()

    assert_same_parameters(generator, plain_g)
    assert_same_parameters(ensemble.members[0], plain_d)


def test_original_with_two_is_the_succeeded_algorithm() -> None:
    generator, ensemble = networks(2)
    plain_g = copy.deepcopy(generator)
    d1, d2 = (copy.deepcopy(member) for member in ensemble.members)
    losses = play(game(generator, ensemble, "original"), 2)

    # The succeeded project's loop: real losses with the other discriminator's fake losses,
    # summed before backward(), and the generator against the one with the larger sum.
    criterion = nn.BCEWithLogitsLoss()
    optimizer_g, optimizer_1, optimizer_2 = adam(plain_g), adam(d1), adam(d2)
    ones = torch.ones(BATCH, dtype=torch.float64)
    zeros = torch.zeros(BATCH, dtype=torch.float64)
    chosen = []
    for real, z, *_ in batches():
        fake = plain_g(z)
        d1.zero_grad()
        d2.zero_grad()
        real_1, real_2 = criterion(d1(real), ones), criterion(d2(real), ones)
        fake_1, fake_2 = criterion(d1(fake.detach()), zeros), criterion(d2(fake.detach()), zeros)
        loss_1 = real_1 + fake_2
        loss_2 = real_2 + fake_1
        (loss_1 + loss_2).backward()
        optimizer_1.step()
        optimizer_2.step()
        plain_g.zero_grad()
        if loss_1 >= loss_2:
            chosen.append(0)
            criterion(d1(fake), ones).backward()
        else:
            chosen.append(1)
            criterion(d2(fake), ones).backward()
        optimizer_g.step()

    assert [int(step["weights"].argmax()) for step in losses] == chosen
    assert set(chosen) == {0, 1}, "the test would not see a wrong choice"
    assert_same_parameters(generator, plain_g)
    assert_same_parameters(ensemble.members[0], d1)
    assert_same_parameters(ensemble.members[1], d2)


def test_softmax_trains_like_max_when_cold_and_like_mean_when_hot() -> None:
    for softmax, rule in (
        ("softmax(temperature=1e-9)", "max"),
        ("softmax(temperature=1e12)", "mean"),
    ):
        trained = []
        for name in (softmax, rule):
            generator, ensemble = networks(3)
            play(game(generator, ensemble, name), 3)
            trained.append(generator)
        assert_same_parameters(*trained)


def test_mean_weighs_the_gradients_of_all() -> None:
    generator, ensemble = networks(2, norm="none")
    real, z, *_ = next(batches())
    played = game(generator, ensemble, "mean")
    before = copy.deepcopy(generator)
    train_step(played, [Batch(real, z)], torch.rand(2, 1))
    fake = before(z)
    loss = softplus(-ensemble(fake)).mean()  # the discriminators are as they were after the D step
    gradients = torch.autograd.grad(loss, list(before.parameters()))
    for expected, parameter in zip(gradients, generator.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected)


def test_per_sample_rule_takes_the_hardest_for_each_image() -> None:
    generator, ensemble = networks(3, norm="none")
    real, z, *_ = next(batches())
    losses = train_step(
        game(generator, ensemble, "hardest_per_sample"), [Batch(real, z)], torch.rand(3, 1)
    )
    fresh, _ = networks(3, norm="none")  # the generator before its step
    g = softplus(-ensemble(fresh(z)))
    torch.testing.assert_close(losses["loss_g"], g.amax(dim=0).mean().detach())


def test_discriminators_get_no_gradient_in_the_generators_step() -> None:
    generator, ensemble = networks(2)
    played = game(generator, ensemble, "mean")
    after_d_step: list[Tensor] = []

    def remember() -> None:
        after_d_step.extend(p.grad.clone() for p in ensemble.parameters() if p.grad is not None)

    step = played.optimizer_d.step
    played.optimizer_d.step = lambda: (step(), remember())  # type: ignore[method-assign]
    train_step(played, [next(batches())], torch.rand(2, 1))
    assert after_d_step
    for before, parameter in zip(after_d_step, ensemble.parameters(), strict=True):
        assert torch.equal(before, parameter.grad)
        assert parameter.requires_grad, "trainable again in the next step"


def test_several_updates_of_the_discriminators_before_one_of_the_generator() -> None:
    generator, ensemble = networks(2)
    batch_one, batch_two, *_ = batches()
    other = copy.deepcopy(generator), copy.deepcopy(ensemble)
    train_step(game(generator, ensemble, "mean"), [batch_one, batch_two], torch.rand(2, 1))

    generator_by_hand, ensemble_by_hand = other
    optimizer_d, optimizer_g = adam(ensemble_by_hand), adam(generator_by_hand)
    for real, z, *_ in (batch_one, batch_two):
        fake = generator_by_hand(z)
        logits_real, logits_fake = ensemble_by_hand(real), ensemble_by_hand(fake.detach())
        optimizer_d.zero_grad()
        (softplus(-logits_real) + softplus(logits_fake)).mean(dim=1).sum().backward()
        optimizer_d.step()
    loss = softplus(-ensemble_by_hand(fake)).mean()  # on the last batch's noise
    optimizer_g.zero_grad()
    loss.backward()
    optimizer_g.step()
    assert_same_parameters(generator, generator_by_hand)
    assert_same_parameters(ensemble, ensemble_by_hand)


def test_frozen_is_undone_after_an_error() -> None:
    _, ensemble = networks(1)

    def fail() -> None:
        with frozen(ensemble):
            assert not any(p.requires_grad for p in ensemble.parameters())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert all(p.requires_grad for p in ensemble.parameters())


def test_r1_adds_its_gradient_for_every_discriminator() -> None:
    gamma = 0.7
    generator, ensemble = networks(2, norm="none")
    before = copy.deepcopy(ensemble)
    real, z, *_ = next(batches())
    losses = train_step(
        game(generator, ensemble, "mean", penalties=(f"r1(gamma={gamma})",)),
        [Batch(real.clone(), z)],
        torch.rand(2, 1),
    )
    fake = networks(2, norm="none")[0](z).detach()
    for k, member in enumerate(before.members):
        pixels = real.clone().requires_grad_()
        logits = member(pixels)
        (slope,) = torch.autograd.grad(logits.sum(), pixels, create_graph=True)
        penalty = slope.square().sum(dim=(1, 2, 3)).mean()
        loss = softplus(-logits).mean() + softplus(member(fake)).mean() + gamma / 2 * penalty
        torch.testing.assert_close(losses["r1"][k], penalty.detach())
        gradients = torch.autograd.grad(loss, list(member.parameters()))
        for expected, parameter in zip(gradients, ensemble.members[k].parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, expected)


def test_losses_are_those_of_the_formulas() -> None:
    generator, ensemble = networks(2)
    before_g, before_d = copy.deepcopy(generator), copy.deepcopy(ensemble)
    real, z, *_ = next(batches())
    losses = train_step(game(generator, ensemble, "max"), [Batch(real, z)], torch.rand(2, 1))
    fake = before_g(z)
    torch.testing.assert_close(losses["loss_d_real"], softplus(-before_d(real)).mean(1).detach())
    torch.testing.assert_close(losses["loss_d_fake"], softplus(before_d(fake)).mean(1).detach())
    g = softplus(-ensemble(fake)).mean(1).detach()  # against the discriminators after their step
    torch.testing.assert_close(losses["loss_g_adversarial"], g)
    torch.testing.assert_close(losses["loss_g"], g.max())
    assert not any(loss.requires_grad for loss in losses.values())


@pytest.mark.parametrize("rule", AGGREGATIONS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_goes_with_every_rule(objective: str, rule: str) -> None:
    built, chosen = OBJECTIVES.build(objective), AGGREGATIONS.build(rule)
    refused = (
        (built.signed and not chosen.takes_signed)
        or (chosen.needs_one_sign and built.signed and not built.negative)
        or (chosen.needs_separable and not built.separable)
    )
    if refused:
        return  # the configuration refuses the pair
    generator, ensemble = networks(2, norm="group")
    played = game(generator, ensemble, rule, objective, ("r1(gamma=0.1)",))
    for losses in play(played, 2, steps=3):
        for name, loss in losses.items():
            assert (loss.isfinite() | unknown(losses, name)).all()
