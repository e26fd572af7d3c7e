import math

import pytest
import torch
from torch import nn

from d3gan.gan.objectives import OBJECTIVES, r1_penalty


def test_non_saturating_is_binary_cross_entropy() -> None:
    logits = torch.linspace(-30, 30, 13, dtype=torch.float64)[None]
    objective = OBJECTIVES.build("non_saturating")
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones_like(logits), torch.zeros_like(logits)
    real = cross_entropy(logits, ones, reduction="none")
    fake = cross_entropy(logits, zeros, reduction="none")
    torch.testing.assert_close(objective.real(logits), real)
    torch.testing.assert_close(objective.fake(logits), fake)
    torch.testing.assert_close(objective.generator(logits), real)


def test_values_at_zero_and_one() -> None:
    logits = torch.tensor([[0.0, 1.0]])
    expected = {
        "non_saturating": ([math.log(2), math.log1p(math.exp(-1))], [math.log(2), 1.3132617]),
        "hinge": ([1, 0], [1, 2]),
        "least_squares": ([0.5, 0], [0, 0.5]),
    }
    assert set(expected) == set(OBJECTIVES)
    for name, (real, fake) in expected.items():
        objective = OBJECTIVES.build(name)
        torch.testing.assert_close(objective.real(logits), torch.tensor([real]).float())
        torch.testing.assert_close(objective.fake(logits), torch.tensor([fake]).float())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_pulls_the_right_way(name: str) -> None:
    objective = OBJECTIVES.build(name)
    logits = torch.tensor([[0.3, -0.2]], requires_grad=True)
    for loss, sign in ((objective.real, -1), (objective.fake, 1), (objective.generator, -1)):
        assert loss(logits).shape == logits.shape
        (gradient,) = torch.autograd.grad(loss(logits).sum(), logits)
        if name == "least_squares" and sign == 1:
            continue  # pulls towards 0, from either side
        assert (gradient * sign > 0).all()


def test_r1_of_a_linear_discriminator_is_its_squared_norm() -> None:
    images = torch.randn(5, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 48, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty(weights @ images.flatten(1).T, images)
    torch.testing.assert_close(penalty, weights.square().sum(1, keepdim=True).expand(2, 5))
    penalty.mean().backward()
    torch.testing.assert_close(weights.grad, weights.detach())


def test_r1_equals_finite_differences() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.Tanh(), nn.Linear(7, 1)).double()
    images = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty(network(images).T, images)[0]
    step = 1e-6
    for i in range(2):
        slopes = []
        for pixel in range(12):
            moved = images.detach()[i].clone().flatten()
            moved[pixel] += step
            up = network(moved.view(1, 3, 2, 2))
            moved[pixel] -= 2 * step
            slopes.append(float((up - network(moved.view(1, 3, 2, 2))).detach() / (2 * step)))
        assert float(penalty[i].detach()) == pytest.approx(
            sum(slope**2 for slope in slopes), rel=1e-6
        )
