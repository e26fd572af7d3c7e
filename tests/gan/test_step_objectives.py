"""Steps with relativistic, asymmetric and penalised objectives against their papers' loops."""

import copy

import torch
from tests.gan.playing import BATCH, adam, assert_same_parameters, batches, game, networks, play
from torch.nn.functional import softplus

from d3gan.gan.augment import AUGMENTATIONS
from d3gan.gan.game import Batch
from d3gan.gan.step import train_step


def test_relativistic_with_both_penalties_is_r3gan_s_step() -> None:
    gamma = 0.3
    generator, ensemble = networks(2, norm="none")
    plain_g, plain_d = copy.deepcopy(generator), copy.deepcopy(ensemble)
    penalties = (f"r1(gamma={gamma})", f"r2(gamma={gamma})")
    play(game(generator, ensemble, "mean", "relativistic", penalties), 2)

    optimizer_g, optimizer_d = adam(plain_g), adam(plain_d)
    for real, z, *_ in batches():
        fake = plain_g(z)
        loss_d = torch.zeros((), dtype=torch.float64)
        for member in plain_d.members:
            x, y = real.clone().requires_grad_(), fake.detach().clone().requires_grad_()
            on_real, on_fake = member(x), member(y)
            loss_d = loss_d + softplus(-(on_real - on_fake)).mean()
            for logits, images in ((on_real, x), (on_fake, y)):
                (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
                loss_d = loss_d + gamma / 2 * slope.square().sum(dim=(1, 2, 3)).mean()
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()
        with torch.no_grad():
            on_real = torch.stack([member(real) for member in plain_d.members])
        on_fake = torch.stack([member(fake) for member in plain_d.members])
        optimizer_g.zero_grad()
        softplus(-(on_fake - on_real)).mean().backward()
        optimizer_g.step()

    assert_same_parameters(generator, plain_g)
    assert_same_parameters(ensemble, plain_d)


def test_d2gan_is_the_two_player_loop_of_its_paper() -> None:
    alpha, beta = 0.2, 0.1
    generator, ensemble = networks(2, norm="none")
    plain_g = copy.deepcopy(generator)
    d1, d2 = (copy.deepcopy(member) for member in ensemble.members)
    play(game(generator, ensemble, "mean", "d2gan"), 2)

    optimizer_g, optimizer_1, optimizer_2 = adam(plain_g), adam(d1), adam(d2)
    for real, z, *_ in batches():
        fake = plain_g(z)
        one, two = (lambda x: softplus(d1(x))), (lambda x: softplus(d2(x)))
        objective_d = (
            alpha * one(real).log() - one(fake.detach()) - two(real)
            + beta * two(fake.detach()).log()
        ).mean()  # fmt: skip
        optimizer_1.zero_grad(), optimizer_2.zero_grad()
        (-objective_d).backward()
        optimizer_1.step(), optimizer_2.step()
        optimizer_g.zero_grad()
        ((-one(fake) + beta * two(fake).log()) / 2).mean().backward()
        optimizer_g.step()

    assert_same_parameters(generator, plain_g)
    assert_same_parameters(ensemble.members[0], d1)
    assert_same_parameters(ensemble.members[1], d2)


def test_wgan_gp_is_the_critic_s_loop() -> None:
    generator, ensemble = networks(1, norm="none")
    plain_g, critic = copy.deepcopy(generator), copy.deepcopy(ensemble.members[0])
    uniform = torch.rand(BATCH, 1, generator=torch.Generator().manual_seed(2)).double()
    played = game(generator, ensemble, "mean", "wasserstein", ("wgan_gp(coefficient=5)",))
    steps = [b._replace(interpolation=uniform) for b in batches()]
    for batch in steps:
        train_step(played, [batch], torch.rand(1, 1))

    optimizer_g, optimizer_d = adam(plain_g), adam(critic)
    for real, z, *_ in batches():
        fake = plain_g(z)
        share = uniform[:, :, None, None]
        between = (share * real + (1 - share) * fake.detach()).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        optimizer_d.zero_grad()
        (critic(fake.detach()).mean() - critic(real).mean() + 5 * penalty).backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        (-critic(fake).mean()).backward()
        optimizer_g.step()

    assert_same_parameters(generator, plain_g)
    assert_same_parameters(ensemble.members[0], critic)


def test_both_players_see_augmented_images_and_penalties_images_before() -> None:
    generator, ensemble = networks(2, norm="none")
    before_g, before_d = copy.deepcopy(generator), copy.deepcopy(ensemble)
    real, z, *_ = next(batches())
    draws = torch.rand(4, BATCH, 3, generator=torch.Generator().manual_seed(3)).double()
    played = game(generator, ensemble, "mean", "relativistic", ("r1",), ("color",))
    losses = train_step(played, [Batch(real, z, None, draws)], torch.rand(2, 1))
    color = AUGMENTATIONS.build("color")
    fake, x = before_g(z), real.clone().requires_grad_()
    on_real, on_fake = before_d(color(x, draws[0])), before_d(color(fake, draws[1]))
    expected = softplus(on_fake - on_real).mean(dim=1)
    torch.testing.assert_close(losses["loss_d_relativistic"], expected.detach())
    (slope,) = torch.autograd.grad(on_real[0].sum(), x)
    torch.testing.assert_close(losses["r1"][0], slope.square().sum(dim=(1, 2, 3)).mean())
    g = softplus(ensemble(color(real, draws[2])) - ensemble(color(fake, draws[3]))).mean(dim=1)
    torch.testing.assert_close(losses["loss_g_relativistic"], g.detach())
