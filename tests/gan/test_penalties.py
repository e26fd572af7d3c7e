"""Gradient penalties against closed forms and finite differences."""

import pytest
import torch
from torch import Tensor, nn

from d3gan.errors import UserError
from d3gan.gan.penalties import PENALTIES, Penalty


def value(penalty: Penalty, network: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    points = penalty.points(real, fake, torch.full((len(real), 1), 0.25)).requires_grad_()
    (gradient,) = torch.autograd.grad(network(points).sum(), points, create_graph=True)
    return penalty.value(gradient)


def network_of(width: int = 12) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(width, 7), nn.Tanh(), nn.Linear(7, 1)).double()


@pytest.mark.parametrize(("name", "expected"), [("r1", 3.0), ("r2", 3.0), ("wgan_gp", 0.5359)])
def test_a_linear_discriminator_has_a_constant_penalty(name: str, expected: float) -> None:
    linear = nn.Linear(12, 1).double()
    with torch.no_grad():
        linear.weight.fill_(0.5)  # squared norm 3
    images = [torch.randn(5, 3, 2, 2, dtype=torch.float64) for _ in range(2)]
    found = value(PENALTIES.build(name), nn.Sequential(nn.Flatten(), linear), *images)
    torch.testing.assert_close(found, torch.full((5,), expected).double(), atol=1e-4, rtol=0)
    found.mean().backward()
    assert linear.weight.grad is not None
    if name == "r1":
        torch.testing.assert_close(linear.weight.grad, 2 * linear.weight.detach())


@pytest.mark.parametrize("name", PENALTIES)
def test_values_equal_finite_differences(name: str) -> None:
    network, penalty = network_of(), PENALTIES.build(name)
    real, fake = (torch.randn(2, 3, 2, 2, dtype=torch.float64) for _ in range(2))
    found = value(penalty, network, real.clone(), fake.clone())
    images = {"r1": real, "r2": fake, "wgan_gp": 0.25 * real + 0.75 * fake}[name]
    step = 1e-6
    for i in range(2):
        slopes = []
        for pixel in range(12):
            moved = images[i].clone().flatten()
            moved[pixel] += step
            up = network(moved.view(1, 3, 2, 2))
            moved[pixel] -= 2 * step
            slopes.append(float((up - network(moved.view(1, 3, 2, 2))).detach() / (2 * step)))
        squared = sum(s**2 for s in slopes)
        expected = (squared**0.5 - 1) ** 2 if name == "wgan_gp" else squared
        assert float(found[i].detach()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_quadratic_discriminator(name: str) -> None:
    """D(x) = a |x|^2 / 2 has the gradient a x, so values and their slopes in a are known."""

    class Quadratic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return self.a * x.square().sum(dim=(1, 2, 3)) / 2

    network = Quadratic()
    real, fake = (torch.randn(4, 3, 2, 2, dtype=torch.float64) for _ in range(2))
    found = value(PENALTIES.build(name), network, real.clone(), fake.clone())
    images = {"r1": real, "r2": fake, "wgan_gp": 0.25 * real + 0.75 * fake}[name]
    norm = images.flatten(1).norm(dim=1)
    expected = {"wgan_gp": (0.7 * norm - 1).square()}.get(name, (0.7 * norm).square())
    torch.testing.assert_close(found.detach(), expected)
    (slope,) = torch.autograd.grad(found.sum(), network.a)
    slopes = {"wgan_gp": 2 * (0.7 * norm - 1) * norm}.get(name, 2 * 0.7 * norm.square())
    torch.testing.assert_close(slope, slopes.sum())


def test_where_gradients_are_taken() -> None:
    real, fake, u = torch.zeros(2, 1, 1, 1), torch.ones(2, 1, 1, 1), torch.tensor([[0.25], [1.0]])
    assert PENALTIES.build("r1").points(real, fake, None) is real
    assert PENALTIES.build("r2").points(real, fake, None) is fake
    between = PENALTIES.build("wgan_gp").points(real, fake, u)
    assert between.flatten().tolist() == [0.75, 0.0]


def test_weights() -> None:
    assert PENALTIES.build("r1(gamma=0.5)").weight == 0.25
    assert PENALTIES.build("r2(gamma=0.5)").weight == 0.25
    assert PENALTIES.build("wgan_gp").weight == 10
    for text in ("r1(gamma=0)", "wgan_gp(coefficient=-1)"):
        with pytest.raises(UserError, match="must be above 0"):
            PENALTIES.build(text)


def test_wgan_gp_has_a_finite_gradient_where_the_slope_is_zero() -> None:
    gradient = torch.zeros(2, 1, 2, 2, requires_grad=True)
    found = PENALTIES.build("wgan_gp").value(gradient)
    torch.testing.assert_close(found, torch.ones(2), atol=1e-6, rtol=0)
    found.sum().backward()
    assert gradient.grad is not None
    assert gradient.grad.isfinite().all()


@pytest.mark.parametrize("name", PENALTIES)
def test_every_penalty_is_per_image_and_has_a_column(name: str) -> None:
    penalty = PENALTIES.build(name)
    assert penalty.name == name
    images = [torch.randn(4, 3, 2, 2, dtype=torch.float64) for _ in range(2)]
    found = value(penalty, network_of(), *images)
    assert found.shape == (4,)
    assert (found >= 0).all()
    again = value(penalty, network_of(), *(x[:2].clone() for x in images))
    torch.testing.assert_close(again, found[:2])
