"""DuelGAN and MCL-GAN against loops over images and pairs of images, as their papers write them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from d3gan.errors import UserError
from d3gan.gan.objectives import OBJECTIVES, JointObjective, SeparableObjective

JOINT = [name for name in OBJECTIVES if isinstance(OBJECTIVES.build(name), JointObjective)]
IMAGES = 5


def joint(text: str) -> JointObjective:
    objective = OBJECTIVES.build(text)
    assert isinstance(objective, JointObjective)
    return objective


def logits(n: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(n, IMAGES, dtype=torch.float64, generator=generator)


def mean(x: Tensor) -> Tensor:
    return x.mean(dim=-1)


def discriminator_loss(text: str, real: Tensor, fake: Tensor) -> Tensor:
    """The loss [N] of every discriminator, over all images."""
    terms = joint(text).joint_discriminator(real, fake, mean)
    return torch.stack([*terms.values()]).sum(dim=0).mean(dim=1)


def generator_loss(text: str, fake: Tensor) -> Tensor:
    terms = joint(text).joint_generator(fake, None, mean)
    return torch.stack([*terms.values()]).sum(dim=0).mean(dim=1)


def cross_entropy(logit: Tensor, target: float) -> Tensor:
    p = torch.sigmoid(logit)
    return -(target * p.log() + (1 - target) * (1 - p).log())


def assert_same_value_and_gradient(
    one: Callable[[Tensor, Tensor], Tensor], other: Callable[[Tensor, Tensor], Tensor], n: int
) -> None:
    real, fake = (logits(n, seed).requires_grad_() for seed in (1, 2))
    mine, theirs = one(real, fake), other(real, fake)
    torch.testing.assert_close(mine, theirs)
    for a, b in zip(
        torch.autograd.grad(mine.sum(), (real, fake), allow_unused=True),
        torch.autograd.grad(theirs.sum(), (real, fake), allow_unused=True),
        strict=True,
    ):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.5), (1.0, 2.0), (0.0, 0.7)])
def test_duelgan_is_the_duel_over_all_pairs_of_images(alpha: float, beta: float) -> None:
    def loop(real: Tensor, fake: Tensor) -> Tensor:
        losses = []
        for me, peer in ((0, 1), (1, 0)):
            loss = sum(cross_entropy(t, 1.0) for t in real[me]) / IMAGES
            loss += sum(cross_entropy(t, 0.0) for t in fake[me]) / IMAGES
            own, its = torch.cat([real[me], fake[me]]), torch.cat([real[peer], fake[peer]])
            target = torch.sigmoid(its).tolist()
            for i in range(2 * IMAGES):  # x_1
                loss += beta * cross_entropy(own[i], target[i]) / (2 * IMAGES)
                for j in range(2 * IMAGES):  # x_2 = x_i, x_3 = x_j
                    pair = cross_entropy(own[i], target[j]) / (2 * IMAGES) ** 2
                    loss -= beta * alpha * pair
            losses.append(loss)
        return torch.stack(losses)

    text = f"duelgan(alpha={alpha}, beta={beta})"
    assert_same_value_and_gradient(lambda r, f: discriminator_loss(text, r, f), loop, 2)


def test_duelgan_without_a_duel_is_the_non_saturating_objective() -> None:
    real, fake = logits(2, 1), logits(2, 2)
    plain = OBJECTIVES.build("non_saturating")
    assert isinstance(plain, SeparableObjective)
    expected = (plain.real_loss(real) + plain.fake_loss(fake)).mean(dim=1)
    torch.testing.assert_close(discriminator_loss("duelgan(beta=0)", real, fake), expected)
    torch.testing.assert_close(
        generator_loss("duelgan", fake), plain.generator_loss(fake).mean(dim=1)
    )


def test_the_duel_rewards_agreement_that_depends_on_the_image() -> None:
    real, fake = torch.full((2, 4), 3.0), torch.full((2, 4), -3.0)
    blind = torch.zeros(2, 4)
    duel = joint("duelgan(alpha=1.0)").joint_discriminator(real, fake, mean)["duel"].mean()
    always = joint("duelgan(alpha=1.0)").joint_discriminator(real, real, mean)["duel"].mean()
    never = joint("duelgan(alpha=1.0)").joint_discriminator(blind, blind, mean)["duel"].mean()
    assert float(duel) < -0.5
    assert float(always) == pytest.approx(0, abs=1e-6), "agreement on a constant earns nothing"
    assert float(never) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_mcl_gan_is_the_loss_of_its_experts(k: int) -> None:
    m, alpha, beta, tau = 3, 0.4, 0.7, 0.2

    def best(column: Tensor) -> set[int]:
        return set(sorted(range(m), key=lambda i: float(column[i].detach()))[-k:])

    def loop(real: Tensor, fake: Tensor) -> Tensor:
        loss = real.new_zeros(())
        chosen = real.new_zeros(m)
        for i in range(IMAGES):
            for j in range(m):
                expert = j in best(real[:, i])
                one = cross_entropy(real[j, i], 1.0 if expert else 0.5)
                loss = loss + (one if expert else alpha * one) / IMAGES
                loss = loss + cross_entropy(fake[j, i], 0.0) / IMAGES
            scores = [torch.exp(torch.sigmoid(t) / tau) for t in real[:, i]]
            chosen = chosen + torch.stack([s / sum(scores) for s in scores]) / IMAGES
        return loss + beta * sum((1 / m) * torch.log((1 / m) / q) for q in chosen)

    def generator_loop(_: Tensor, fake: Tensor) -> Tensor:
        loss = fake.new_zeros(())
        for i in range(IMAGES):
            for j in range(m):
                expert = j in best(fake[:, i])
                one = cross_entropy(fake[j, i], 1.0 if expert else 0.5)
                loss = loss + (one if expert else alpha * one) / IMAGES
        return loss

    text = f"mcl_gan(k={k}, alpha={alpha}, beta={beta}, tau={tau})"
    assert_same_value_and_gradient(lambda r, f: discriminator_loss(text, r, f).sum(), loop, m)
    assert_same_value_and_gradient(lambda _, f: generator_loss(text, f).sum(), generator_loop, m)


@pytest.mark.parametrize("n", [1, 3])
def test_mcl_gan_with_all_experts_is_the_plain_sum(n: int) -> None:
    """With one discriminator whatever alpha and beta are: the balance is that of one choice."""
    text = f"mcl_gan(k={n}, alpha=0, beta=0)" if n > 1 else "mcl_gan"
    real, fake = logits(n, 1), logits(n, 2)
    plain = OBJECTIVES.build("non_saturating")
    assert isinstance(plain, SeparableObjective)
    expected = (plain.real_loss(real) + plain.fake_loss(fake)).mean(dim=1)
    torch.testing.assert_close(discriminator_loss(text, real, fake), expected)
    torch.testing.assert_close(generator_loss(text, fake), plain.generator_loss(fake).mean(dim=1))


def test_the_balance_is_zero_where_experts_are_shared_out_evenly() -> None:
    even = torch.tensor([[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]], dtype=torch.float64)
    skewed = torch.tensor([[4.0] * 3, [0] * 3, [0] * 3], dtype=torch.float64).requires_grad_()
    objective = joint("mcl_gan")
    balance = objective.joint_discriminator(even, even, mean)["balance"].sum(dim=0)
    torch.testing.assert_close(balance, torch.zeros(3).double())
    balance = objective.joint_discriminator(skewed, even, mean)["balance"].sum(dim=0)
    q = torch.softmax(torch.sigmoid(skewed[:, 0].detach()) / 0.1, dim=0)
    torch.testing.assert_close(balance.detach(), -(3 * q).log().mean().expand(3))
    (slope,) = torch.autograd.grad(balance.mean(), skewed)
    assert (slope[0] > 0).all(), "the busiest discriminator lowers its outputs"
    assert (slope[1:] < 0).all()


def test_mcl_gan_stays_finite_where_one_discriminator_is_always_chosen() -> None:
    real = torch.tensor([[900.0] * 4, [-900.0] * 4], requires_grad=True)
    loss = discriminator_loss("mcl_gan(tau=0.001)", real, torch.zeros(2, 4)).sum()
    assert loss.isfinite()
    assert torch.autograd.grad(loss, real)[0].isfinite().all()


@pytest.mark.parametrize("name", JOINT)
@pytest.mark.parametrize("split", [1, 2])
def test_parts_of_the_batch_sum_to_the_whole(name: str, split: int) -> None:
    """`mean` is over all parts: losses and their gradients are those of the undivided batch."""
    objective = joint(name)
    real, fake = (logits(2, seed).requires_grad_() for seed in (1, 2))
    whole = objective.joint_discriminator(real, fake, mean)
    parts = [(real[:, :split], fake[:, :split]), (real[:, split:], fake[:, split:])]
    seen: list[Tensor] = []

    def remember(x: Tensor) -> Tensor:
        seen.append(x)
        return mean(x)

    for part in parts:
        objective.joint_discriminator(*part, remember)
    assert len(seen) == 2, "one batch mean, known before any other"
    over_all = torch.cat(seen, dim=-1).mean(dim=-1)
    pieces = [objective.joint_discriminator(*part, lambda _: over_all) for part in parts]
    for term, expected in whole.items():
        found = torch.cat([piece[term] for piece in pieces], dim=1)
        torch.testing.assert_close(found, expected)
        if expected.requires_grad:
            mine, theirs = (
                torch.autograd.grad(x.sum(), (real, fake), allow_unused=True, retain_graph=True)
                for x in (found, expected)
            )
            for a, b in zip(mine, theirs, strict=True):
                torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", JOINT)
def test_terms_are_named_and_have_the_shape_of_the_logits(name: str) -> None:
    objective, real, fake = joint(name), logits(2, 1), logits(2, 2)
    terms = objective.joint_discriminator(real, fake, mean)
    assert {"real", "fake"} < set(terms)
    for term in [*terms.values(), *objective.joint_generator(fake, None, mean).values()]:
        assert term.shape == real.shape
        assert term.isfinite().all()


@pytest.mark.parametrize("name", JOINT)
def test_the_generator_pulls_every_image_towards_real(name: str) -> None:
    fake = logits(2, 2).requires_grad_()
    (slope,) = torch.autograd.grad(generator_loss(name, fake).sum(), fake)
    assert (slope.amin(dim=0) < 0).all()


def test_experts_are_needed() -> None:
    assert joint("mcl_gan(k=3)").least_discriminators == 3
    assert joint("duelgan").least_discriminators == 2
    assert joint("mcl_gan").least_discriminators == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("duelgan(alpha=-1)", "at least 0"),
        ("mcl_gan(k=0)", "k = 0 must be at least 1"),
        ("mcl_gan(beta=-0.5)", "at least 0"),
        ("mcl_gan(tau=0)", "tau = 0 must be above 0"),
    ],
)
def test_bad_parameters_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        OBJECTIVES.build(text)
