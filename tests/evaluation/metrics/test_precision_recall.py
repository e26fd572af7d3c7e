import pytest
import torch

from d3gan.evaluation.metrics import precision_recall as module
from d3gan.evaluation.metrics.precision_recall import precision_recall_density_coverage, radii


def normal(count: int, seed: int, dimensions: int = 6) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def test_identical_sets() -> None:
    x = normal(200, 0)
    numbers = precision_recall_density_coverage(x, x)
    assert [numbers[name].value for name in ("precision", "recall", "coverage")] == [1, 1, 1]


def test_sets_far_apart() -> None:
    numbers = precision_recall_density_coverage(normal(50, 1), normal(50, 2) + 100)
    assert [estimate.value for estimate in numbers.values()] == [0, 0, 0, 0]


def test_one_mode_of_two_has_precision_without_recall() -> None:
    two_modes = torch.cat([normal(100, 3), normal(100, 4) + 100])
    one_mode = normal(200, 5)
    numbers = precision_recall_density_coverage(two_modes, one_mode)
    assert numbers["precision"].value > 0.8
    assert numbers["density"].value > 0.8
    assert 0.3 < numbers["recall"].value < 0.55
    assert 0.4 < numbers["coverage"].value < 0.55


def test_copies_of_one_image_cover_nothing_else() -> None:
    """All radii are exactly 0, whatever the rounding."""
    real, copies = normal(50, 6), normal(1, 7).expand(50, -1) * 10
    assert radii(copies, (3,))[0].tolist() == [0.0] * 50
    assert precision_recall_density_coverage(real, copies)["recall"].value == 0


def test_blocks_equal_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The definition: all distances one by one, without blocks."""
    monkeypatch.setattr(module, "BLOCK", 7)
    real, generated = normal(40, 8).double(), normal(30, 9).double() * 1.3

    def distance(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a - b).norm())

    def reach(points: torch.Tensor, k: int) -> list[float]:
        return [sorted(distance(a, b) for b in points)[k] for a in points]

    def share(points: torch.Tensor, centres: torch.Tensor, radius: list[float]) -> float:
        inside = [
            any(distance(p, c) <= r for c, r in zip(centres, radius, strict=True)) for p in points
        ]
        return sum(inside) / len(points)

    numbers = precision_recall_density_coverage(real, generated)
    assert numbers["precision"].value == pytest.approx(share(generated, real, reach(real, 3)))
    assert numbers["recall"].value == pytest.approx(share(real, generated, reach(generated, 3)))
    radius = reach(real, 5)
    balls = [sum(distance(p, c) <= r for c, r in zip(real, radius, strict=True)) for p in generated]
    assert numbers["density"].value == pytest.approx(sum(balls) / 5 / 30)
    covered = [
        any(distance(p, c) <= r for p in generated) for c, r in zip(real, radius, strict=True)
    ]
    assert numbers["coverage"].value == pytest.approx(sum(covered) / 40)


def test_errors_are_those_of_shares() -> None:
    precision = precision_recall_density_coverage(normal(100, 10), normal(100, 11) * 2)["precision"]
    p = precision.value
    assert 0 < p < 1
    assert precision.standard_error == pytest.approx((p * (1 - p) / 100) ** 0.5)


def test_too_few_images() -> None:
    with pytest.raises(ValueError, match="more than 5 images"):
        precision_recall_density_coverage(normal(5, 12), normal(5, 13))
