"""Objectives of single discriminators: properties of all, and the closed forms of each.

Objectives over several discriminators at once are in test_joint_objectives.py.
"""

import math

import pytest
import torch
from torch import Tensor, nn

from d3gan.gan.objectives import OBJECTIVES, JointObjective, Objective, SeparableObjective

SINGLE = [name for name in OBJECTIVES if not isinstance(OBJECTIVES.build(name), JointObjective)]
REAL = torch.tensor([0.3, -0.2], dtype=torch.float64)
FAKE = torch.tensor([-0.5, 1.1], dtype=torch.float64)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def members(objective: Objective) -> range:
    return range(objective.discriminators or 3)


def separable(name: str) -> SeparableObjective:
    objective = OBJECTIVES.build(name)
    assert isinstance(objective, SeparableObjective)
    return objective


def test_non_saturating_is_binary_cross_entropy() -> None:
    logits = torch.linspace(-30, 30, 13, dtype=torch.float64)[None]
    objective = separable("non_saturating")
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones_like(logits), torch.zeros_like(logits)
    real = cross_entropy(logits, ones, reduction="none")
    fake = cross_entropy(logits, zeros, reduction="none")
    torch.testing.assert_close(objective.real_loss(logits), real)
    torch.testing.assert_close(objective.fake_loss(logits), fake)
    torch.testing.assert_close(objective.generator_loss(logits), real)


def test_saturating_is_the_minimax_game() -> None:
    """The generator minimises what the discriminator maximises, log(1 - p), with gradient -p."""
    logits = torch.linspace(-30, 30, 13, dtype=torch.float64).requires_grad_()
    objective, other = separable("saturating"), separable("non_saturating")
    p = torch.sigmoid(logits.detach())
    found = objective.generator_loss(logits)
    torch.testing.assert_close(found, torch.log1p(-p), rtol=1e-3, atol=0)
    torch.testing.assert_close(slope(found, logits), -p)
    torch.testing.assert_close(objective.fake_loss(logits), -found)
    torch.testing.assert_close(objective.fake_loss(logits), other.fake_loss(logits))
    torch.testing.assert_close(objective.real_loss(logits), other.real_loss(logits))


def test_saturating_stays_finite_where_the_probability_rounds_to_one() -> None:
    logits = torch.tensor([-1000.0, 0.0, 1000.0], requires_grad=True)
    found = separable("saturating").generator_loss(logits)
    torch.testing.assert_close(found.detach(), torch.tensor([0.0, -math.log(2), -1000.0]))
    torch.testing.assert_close(slope(found, logits), torch.tensor([0.0, -0.5, -1.0]))


def test_values_at_zero_and_one() -> None:
    logits = torch.tensor([[0.0, 1.0]])
    expected = {
        "non_saturating": ([math.log(2), math.log1p(math.exp(-1))], [math.log(2), 1.3132617]),
        "saturating": ([math.log(2), math.log1p(math.exp(-1))], [math.log(2), 1.3132617]),
        "hinge": ([1, 0], [1, 2]),
        "least_squares": ([0.5, 0], [0, 0.5]),
        "wasserstein": ([0, -1], [0, 1]),
    }
    built = {name: OBJECTIVES.build(name) for name in OBJECTIVES}
    assert set(expected) == {name for name, objective in built.items() if objective.separable}
    for name, (real, fake) in expected.items():
        objective = separable(name)
        torch.testing.assert_close(objective.real_loss(logits), torch.tensor([real]).float())
        torch.testing.assert_close(objective.fake_loss(logits), torch.tensor([fake]).float())


def test_relativistic_pairs_each_real_image_with_a_generated_one() -> None:
    objective = OBJECTIVES.build("relativistic")
    expected = [softplus(-(r - f)) for r, f in zip(REAL.tolist(), FAKE.tolist(), strict=True)]
    assert objective.discriminator(REAL, FAKE, 0)["relativistic"].tolist() == pytest.approx(
        expected
    )
    swapped = [softplus(-(f - r)) for r, f in zip(REAL.tolist(), FAKE.tolist(), strict=True)]
    assert objective.generator(FAKE, REAL, 0)["relativistic"].tolist() == pytest.approx(swapped)
    shifted = objective.discriminator(REAL + 7, FAKE + 7, 0)["relativistic"]
    torch.testing.assert_close(shifted, objective.discriminator(REAL, FAKE, 0)["relativistic"])


def test_gradients_of_the_relativistic_objective() -> None:
    """With s' the sigmoid: -s'(D(G(z)) - D(x)) at real images, and its opposite at generated."""
    objective = OBJECTIVES.build("relativistic")
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    loss = objective.discriminator(real, fake, 0)["relativistic"]
    towards_real, towards_fake = torch.autograd.grad(loss.sum(), (real, fake))
    expected = torch.tensor(
        [1 / (1 + math.exp(r - f)) for r, f in zip(REAL.tolist(), FAKE.tolist(), strict=True)]
    )
    torch.testing.assert_close(towards_real, -expected.double())
    torch.testing.assert_close(towards_fake, expected.double())
    found = slope(objective.generator(fake, REAL, 0)["relativistic"], fake)
    torch.testing.assert_close(found, -1 + expected.double())


def test_d2gan_is_equation_1() -> None:
    alpha, beta = 0.3, 0.7
    objective = OBJECTIVES.build(f"d2gan(alpha={alpha}, beta={beta})")
    positive = [softplus(x) for x in REAL.tolist()], [softplus(x) for x in FAKE.tolist()]
    logs = [math.log(x) for x in positive[0]], [math.log(x) for x in positive[1]]
    first, second = (objective.discriminator(REAL, FAKE, k) for k in (0, 1))
    assert first["real"].tolist() == pytest.approx([-alpha * x for x in logs[0]])
    assert first["fake"].tolist() == pytest.approx(positive[1])
    assert second["real"].tolist() == pytest.approx(positive[0])
    assert second["fake"].tolist() == pytest.approx([-beta * x for x in logs[1]])
    g = [objective.generator(FAKE, None, k)["adversarial"].tolist() for k in (0, 1)]
    assert g[0] == pytest.approx([-x for x in positive[1]])
    assert g[1] == pytest.approx([beta * x for x in logs[1]])


def test_d2gan_s_best_discriminators_are_the_ratios_of_the_densities() -> None:
    """On two points with probabilities p and q, D_1 = alpha p / q and D_2 = beta q / p.

    Theorem 1 of the paper: the game is then worth alpha (log alpha - 1) + beta (log beta - 1)
    + alpha KL(p || q) + beta KL(q || p).
    """
    alpha, beta = 0.3, 0.6
    objective = OBJECTIVES.build(f"d2gan(alpha={alpha}, beta={beta})")
    p = torch.tensor([0.7, 0.3], dtype=torch.float64)
    q = torch.tensor([0.1, 0.9], dtype=torch.float64)
    logits = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    best = torch.optim.LBFGS(
        [logits], max_iter=200, tolerance_grad=1e-14, tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> Tensor:
        best.zero_grad()
        terms = [objective.discriminator(logits[k], logits[k], k) for k in (0, 1)]
        total = sum(((p * t["real"] + q * t["fake"]).sum() for t in terms), torch.zeros(()))
        total.backward()
        return total

    best.step(loss)
    outputs = nn.functional.softplus(logits.detach())
    torch.testing.assert_close(outputs[0], alpha * p / q, rtol=1e-6, atol=0)
    torch.testing.assert_close(outputs[1], beta * q / p, rtol=1e-6, atol=0)
    divergence = alpha * (p * (p / q).log()).sum() + beta * (q * (q / p).log()).sum()
    worth = alpha * (math.log(alpha) - 1) + beta * (math.log(beta) - 1) + divergence
    torch.testing.assert_close(-loss().detach(), worth)


def test_d2gan_stays_finite_where_softplus_underflows() -> None:
    objective = OBJECTIVES.build("d2gan(alpha=1.0)")
    logits = torch.tensor([-1000.0, -40.0, 0.0, 1000.0], requires_grad=True)
    loss = objective.discriminator(logits, torch.zeros(4), 0)["real"]
    torch.testing.assert_close(loss.detach()[:2], torch.tensor([1000.0, 40.0]))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(gradient[:2], torch.tensor([-1.0, -1.0]))
    assert gradient.isfinite().all()


def slope(loss: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(loss.sum(), logits)[0]


@pytest.mark.parametrize("name", SINGLE)
def test_the_players_pull_in_opposite_directions(name: str) -> None:
    objective = OBJECTIVES.build(name)
    for k in members(objective):
        real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
        terms = objective.discriminator(real, fake, k)
        total = torch.stack([*terms.values()]).sum(dim=0)
        towards_real, towards_fake = torch.autograd.grad(total.sum(), (real, fake))
        if name == "least_squares":
            continue  # pulls towards 1 and 0, from either side
        sign = -1 if not objective.asymmetric or k == 0 else 1  # D_2 of D2GAN rewards fakes
        assert (towards_real * sign > 0).all()
        assert (towards_fake * sign < 0).all()
        paired = real.detach() if objective.pairs else None
        losses = objective.generator(fake, paired, k)
        pull = slope(torch.stack([*losses.values()]).sum(dim=0), fake)
        assert (pull * sign > 0).all(), "the generator opposes the discriminator"


@pytest.mark.parametrize("name", SINGLE)
def test_terms_are_named_and_have_the_shape_of_the_logits(name: str) -> None:
    objective = OBJECTIVES.build(name)
    logits = REAL if objective.asymmetric else REAL.expand(3, 2)
    names = set()
    for k in members(objective):
        terms = objective.discriminator(logits, -logits, k)
        names.add(tuple(terms))
        for term in [*terms.values(), *objective.generator(-logits, logits, k).values()]:
            assert term.shape == logits.shape
    assert len(names) == 1, "all discriminators have the same terms"
    assert not objective.separable or names == {("real", "fake")}


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(Exception, match=r"must be above 0"):
        OBJECTIVES.build("d2gan(alpha=0)")
