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


def test_duelgan_is_a_loop_in_which_each_predicts_the_other() -> None:
    """The duel is over all pairs of images, real and generated ones alike."""
    alpha, beta = 0.5, 1.5
    generator, ensemble = networks(2, norm="none")
    plain_g = copy.deepcopy(generator)
    pair = [copy.deepcopy(member) for member in ensemble.members]
    play(game(generator, ensemble, "mean", f"duelgan(alpha={alpha}, beta={beta})"), 2)

    optimizer_g, optimizers = adam(plain_g), [adam(d) for d in pair]
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    for real, z, *_ in batches():
        fake = plain_g(z)
        images = torch.cat([real, fake.detach()])
        kinds = torch.cat([torch.ones(BATCH), torch.zeros(BATCH)]).double()
        outputs = [d(images) for d in pair]
        for me, other, optimizer in zip(outputs, outputs[::-1], optimizers, strict=True):
            target = other.detach().sigmoid()
            everywhere = [bce(me, one.expand_as(me)) for one in target]
            duel = bce(me, target) - alpha * torch.stack(everywhere).mean()
            optimizer.zero_grad()
            (2 * bce(me, kinds) + beta * duel).backward(retain_graph=True)
        for optimizer in optimizers:
            optimizer.step()
        optimizer_g.zero_grad()
        torch.stack([-d(fake).sigmoid().log() for d in pair]).mean().backward()
        optimizer_g.step()

    assert_same_parameters(generator, plain_g)
    for mine, theirs in zip(ensemble.members, pair, strict=True):
        assert_same_parameters(mine, theirs)


def test_mcl_gan_is_a_loop_over_images_and_experts() -> None:
    alpha, beta, tau = 0.3, 0.8, 0.2
    generator, ensemble = networks(3, norm="none")
    plain_g, plain_d = copy.deepcopy(generator), copy.deepcopy(ensemble)
    play(game(generator, ensemble, "mean", f"mcl_gan(k=1, {alpha=}, {beta=}, {tau=})"), 3)

    optimizer_g, optimizer_d = adam(plain_g), adam(plain_d)
    for real, z, *_ in batches():
        fake = plain_g(z)
        on_real, on_fake = (
            torch.stack([d(x).sigmoid() for d in plain_d.members]) for x in (real, fake.detach())
        )
        loss_d, chosen = -(1 - on_fake).log().sum(), torch.zeros(3).double()
        for image in on_real.T:
            best = int(image.argmax())
            loss_d = loss_d - image[best].log()
            for m in {0, 1, 2} - {best}:
                loss_d = loss_d - alpha * (image[m].log() + (1 - image[m]).log()) / 2
            chosen = chosen + torch.softmax(image / tau, dim=0) / BATCH
        uniform = torch.full((3,), 1 / 3).double()
        divergence = torch.distributions.kl_divergence(
            torch.distributions.Categorical(uniform), torch.distributions.Categorical(chosen)
        )
        optimizer_d.zero_grad()
        (loss_d / BATCH + beta * divergence).backward()
        optimizer_d.step()
        loss_g = torch.zeros(()).double()
        for image in torch.stack([d(fake).sigmoid() for d in plain_d.members]).T:
            best = int(image.argmax())
            loss_g = loss_g - image[best].log()
            for m in {0, 1, 2} - {best}:
                loss_g = loss_g - alpha * (image[m].log() + (1 - image[m]).log()) / 2
        optimizer_g.zero_grad()
        (loss_g / BATCH / 3).backward()
        optimizer_g.step()

    assert_same_parameters(generator, plain_g)
    assert_same_parameters(ensemble, plain_d)


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
