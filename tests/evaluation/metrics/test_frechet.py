import pytest
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from d3gan.evaluation.metrics.frechet import frechet_estimate
from d3gan.evaluation.statistics import Moments


def random_gaussian(dimensions: int, seed: int, rank: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the mean [D] and the covariance [D, D]."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(dimensions, generator=generator, dtype=torch.float64)
    factor = torch.randn(dimensions, rank or 2 * dimensions, generator=generator).double()
    return mean, factor @ factor.T / factor.shape[1]


def frechet_distance(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> float:
    """Return the distance, which does not depend on the count."""
    return frechet_estimate(mean_1, cov_1, mean_2, cov_2, count=100).value


def test_commuting_covariances() -> None:
    """|m|^2 + sum (sqrt a - sqrt b)^2, in any basis."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(40, 40, generator=generator, dtype=torch.float64))
    a, b = torch.rand(2, 40, generator=generator, dtype=torch.float64) * 3
    mean = torch.randn(40, generator=generator, dtype=torch.float64)
    expected = mean.square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    got = frechet_distance(mean, basis * a @ basis.T, torch.zeros_like(mean), basis * b @ basis.T)
    assert got == pytest.approx(float(expected), rel=1e-8)


def test_two_dimensions_in_closed_form() -> None:
    """tr (A B)^1/2 = sqrt(tr A B + 2 sqrt det A B), even if A and B do not commute."""
    (m1, a), (m2, b) = random_gaussian(2, 1), random_gaussian(2, 2)
    overlap = ((a @ b).trace() + 2 * (a @ b).det().sqrt()).sqrt()
    expected = (m1 - m2).square().sum() + a.trace() + b.trace() - 2 * overlap
    assert frechet_distance(m1, a, m2, b) == pytest.approx(float(expected), rel=1e-8)


@pytest.mark.parametrize("rank", [None, 3])
def test_equal_gaussians_have_distance_0_even_singular_ones(rank: int | None) -> None:
    mean, covariance = random_gaussian(200, 3, rank)
    assert frechet_distance(mean, 1e3 * covariance, mean, 1e3 * covariance) < 1e-6


def test_the_estimate_equals_a_direct_computation() -> None:
    """The direct computation uses singular values only, without the vectors for the error."""
    (m1, a), (m2, b) = random_gaussian(50, 4), random_gaussian(50, 5, rank=20)
    factor_a, factor_b = (
        vectors * values.clamp(min=0).sqrt()
        for values, vectors in (torch.linalg.eigh(a), torch.linalg.eigh(b))
    )
    overlap = torch.linalg.svdvals(factor_a.T @ factor_b).sum()
    plain = (m1 - m2).square().sum() + a.trace() + b.trace() - 2 * overlap
    assert frechet_distance(m1, a, m2, b) == pytest.approx(float(plain), rel=1e-12)


class Features(nn.Identity):
    """Returns its input as features."""

    num_features = 64


def test_torchmetrics_agrees() -> None:
    x, y = torch.randn(2, 300, 64, generator=torch.Generator().manual_seed(6)).double()
    metric = FrechetInceptionDistance(feature=Features()).set_dtype(torch.float64)
    one, other = Moments.empty(64, torch.device("cpu")), Moments.empty(64, torch.device("cpu"))
    for moments, features, real in ((one, x, True), (other, 1.2 * y + 0.1, False)):
        metric.update(features, real=real)
        moments.add(features)
    ours = frechet_distance(one.mean(), one.covariance(), other.mean(), other.covariance())
    assert ours == pytest.approx(float(metric.compute()), rel=1e-5)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_standard_error_is_the_spread_over_draws(shift: float) -> None:
    """300 sets of 2,000 images each: their spread is known to about 4 %."""
    real_mean, real_cov = random_gaussian(5, 8)
    _, cov = random_gaussian(5, 9)
    factor = torch.linalg.cholesky(cov)
    draws = torch.randn(300, 2000, 5, generator=torch.Generator().manual_seed(10)).double()
    estimates = [
        frechet_estimate(real_mean, real_cov, x.mean(0), x.T.cov(), 2000)
        for x in draws @ factor.T + real_mean + shift
    ]
    values = torch.tensor([estimate.value for estimate in estimates])
    errors = torch.tensor([estimate.standard_error for estimate in estimates])
    assert float(errors.mean()) == pytest.approx(float(values.std()), rel=0.15)
