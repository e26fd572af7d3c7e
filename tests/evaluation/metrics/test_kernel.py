import pytest
import torch
from torch import nn
from torchmetrics.image.kid import KernelInceptionDistance

from d3gan.evaluation.metrics.kernel import kernel_distance, squared_mmd


def normal(count: int, dimensions: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator, dtype=torch.float64)


def test_the_distance_equals_its_definition() -> None:
    x, y = normal(7, 3, 0), normal(5, 3, 1) + 1

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    within_x = sum(k(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    within_y = sum(k(y[i], y[j]) for i in range(5) for j in range(5) if i != j) / (5 * 4)
    across = sum(k(a, b) for a in x for b in y) / (7 * 5)
    assert squared_mmd(x, y) == pytest.approx(within_x + within_y - 2 * across, rel=1e-12)


@pytest.mark.filterwarnings("ignore:Metric .* will save all")
def test_torchmetrics_agrees() -> None:
    x, y = normal(300, 64, 2), normal(300, 64, 3) * 1.2
    metric = KernelInceptionDistance(feature=nn.Identity(), subsets=1, subset_size=300)
    metric.update(x, real=True)
    metric.update(y, real=False)
    theirs, _ = metric.compute()
    assert squared_mmd(x, y) == pytest.approx(float(theirs), rel=1e-5)


def test_two_halves_of_one_set_have_distance_0_within_the_error() -> None:
    halves = normal(20_000, 16, 4).split(10_000)
    value, error = kernel_distance(*halves)
    assert abs(value) < 3 * error
    shifted, _ = kernel_distance(halves[0], halves[1] + 0.2)
    assert shifted > 10 * error


def test_the_estimate_is_unbiased_and_its_error_correct() -> None:
    """Over 400 pairs of sets the mean is 0 and the errors are as large as the spread."""
    estimates = [
        kernel_distance(normal(200, 4, seed), normal(200, 4, 1000 + seed)) for seed in range(400)
    ]
    values = torch.tensor([estimate.value for estimate in estimates])
    errors = torch.tensor([estimate.standard_error for estimate in estimates])
    assert abs(float(values.mean())) < 3 * float(values.std()) / 20
    # The root mean square, because the squared error is unbiased.
    assert float(errors.square().mean().sqrt()) == pytest.approx(float(values.std()), rel=0.15)


def test_sets_of_different_sizes_and_too_small_ones() -> None:
    assert abs(kernel_distance(normal(5000, 8, 5), normal(300, 8, 6)).value) < 0.1
    with pytest.raises(ValueError, match="the kernel distance needs 20 images, not 19"):
        kernel_distance(normal(100, 8, 7), normal(19, 8, 8))
