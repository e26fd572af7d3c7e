"""GMAN's soft means against the formulas of the paper, differentiated by autograd."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from d3gan.gan.aggregation import AGGREGATIONS

MEANS = ("softmax", "geometric_softmax", "harmonic_softmax")
UNIFORM = torch.zeros(0)


def soft_mean(name: str, g: Tensor, s: Tensor) -> Tensor:
    """Return the mean of the losses g [N] under the weights s [N], as the paper writes it."""
    if name == "softmax":
        return (s * g).sum()
    if name == "harmonic_softmax":
        return 1 / (s / g).sum()
    sign = g.sign()[0]
    return sign * (s * (sign * g).log()).sum().exp()


def derivative(name: str, g: Tensor, temperature: float, through_weights: bool) -> Tensor:
    g = g.clone().requires_grad_()
    s = (g / temperature).exp() / (g / temperature).exp().sum()
    (gradient,) = torch.autograd.grad(soft_mean(name, g, s if through_weights else s.detach()), g)
    return gradient


def weights(name: str, g: Tensor, temperature: float, through_weights: bool = False) -> Tensor:
    rule = AGGREGATIONS.build(f"{name}({temperature=}, {through_weights=})")
    return rule.weights(g[:, None], UNIFORM)[:, 0]


def losses(least: int = 2) -> st.SearchStrategy[Tensor]:
    numbers = st.lists(st.floats(0.01, 5), min_size=least, max_size=6)
    return numbers.map(lambda values: torch.tensor(values, dtype=torch.float64))


@pytest.mark.parametrize("through_weights", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", MEANS)
@given(g=losses(), temperature=st.floats(0.3, 10))
def test_weights_are_the_derivative_of_the_mean(
    name: str, sign: int, through_weights: bool, g: Tensor, temperature: float
) -> None:
    expected = derivative(name, sign * g, temperature, through_weights)
    actual = weights(name, sign * g, temperature, through_weights)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", MEANS)
def test_temperature_zero_is_the_maximum(name: str, sign: int) -> None:
    g = sign * torch.tensor([0.3, 0.9, 0.7, 0.5], dtype=torch.float64)
    expected = AGGREGATIONS.build("max").weights(g[:, None], UNIFORM)[:, 0]
    for through_weights in (False, True):
        actual = weights(name, g, 1e-3, through_weights)
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_infinite_temperature_gives_the_pythagorean_means(sign: int) -> None:
    g = torch.tensor([0.3, 0.9, 0.7, 0.5], dtype=torch.float64)
    geometric, harmonic = g.log().mean().exp(), 1 / (1 / g).mean()
    expected = {
        "softmax": torch.full_like(g, 1 / 4),
        "geometric_softmax": geometric / g / 4,
        "harmonic_softmax": (harmonic / g) ** 2 / 4,
    }
    for name in MEANS:
        for through_weights in (False, True):
            actual = weights(name, sign * g, 1e12, through_weights)
            torch.testing.assert_close(actual, expected[name], msg=name)


@given(g=losses(), temperature=st.floats(0.3, 10))
def test_the_means_are_ordered(g: Tensor, temperature: float) -> None:
    """With constant s_k, F = sum_k w_k g_k: each mean is homogeneous of degree one."""
    arithmetic, geometric, harmonic = (
        float((weights(name, g, temperature) * g).sum()) for name in MEANS
    )
    assert float(g.min()) - 1e-9 <= harmonic <= geometric + 1e-9
    assert geometric <= arithmetic + 1e-9 <= float(g.max()) + 2e-9


def test_the_arithmetic_mean_through_its_weights_can_push_one_loss_up() -> None:
    g = torch.tensor([0.0, 3.0], dtype=torch.float64)
    pushed = weights("softmax", g, 1.0, through_weights=True)
    assert pushed[0] < 0
    torch.testing.assert_close(pushed.sum(), torch.ones((), dtype=torch.float64))


@pytest.mark.parametrize("name", MEANS)
def test_a_loss_that_vanishes_in_rounding_leaves_finite_weights(name: str) -> None:
    for g in ([0.0, 1.0], [0.0, -1.0], [1e-44, 3e38], [0.0, 0.0]):
        score = torch.tensor(g, dtype=torch.float32)
        assert weights(name, score, 1.0).isfinite().all(), g


def test_one_mean_for_each_image() -> None:
    score = torch.tensor([[0.1, 2.0], [0.4, 1.0]], dtype=torch.float64)
    rule = AGGREGATIONS.build("softmax_per_sample(through_weights=True)")
    columns = [weights("softmax", column, 1.0, True) for column in score.T]
    torch.testing.assert_close(rule.weights(score, UNIFORM), torch.stack(columns, dim=1))
