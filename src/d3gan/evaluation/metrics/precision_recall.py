"""How good and how varied: precision and recall, density and coverage.

Precision and recall: Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing
generative models", k = 3. Density and coverage: Naeem et al. 2020, "Reliable fidelity and
diversity metrics for generative models", k = 5. All from balls round each image's features that
reach to its k-th nearest neighbour in its own set.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.statistics import Statistics

PRECISION_RECALL_NEIGHBOURS = 3
DENSITY_COVERAGE_NEIGHBOURS = 5
BLOCK = 128
"""Rows of the matrix of distances held at once."""


def precision_recall_density_coverage(real: Tensor, generated: Tensor) -> dict[str, Estimate]:
    """For features real [M, D] and generated [M', D], more than 5 each.

    Precision: the share of generated images inside some real image's ball. Recall: the share of
    real images inside some generated image's ball. Density: how many real images' balls hold a
    generated image, on average, over k. Coverage: the share of real images whose ball holds a
    generated image. Standard errors are those of a share, and of a mean.
    """
    k, larger_k = PRECISION_RECALL_NEIGHBOURS, DENSITY_COVERAGE_NEIGHBOURS
    real_radii, larger_radii = radii(real, (k, larger_k))
    (generated_radii,) = radii(generated, (k,))
    precise, balls = [], []
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    nearest = torch.full_like(larger_radii, torch.inf)
    for distance, reach in zip(
        _distances(generated, real), generated_radii.split(BLOCK), strict=True
    ):
        precise.append((distance <= real_radii).any(1))
        balls.append((distance <= larger_radii).sum(1))
        recalled |= (distance <= reach[:, None]).any(0)
        nearest = torch.minimum(nearest, distance.amin(0))
    density = torch.cat(balls).double() / larger_k
    return {
        "precision": _share(torch.cat(precise)),
        "recall": _share(recalled),
        "density": Estimate(float(density.mean()), float(density.std() / len(density) ** 0.5)),
        "coverage": _share(nearest <= larger_radii),
    }


def radii(features: Tensor, neighbours: tuple[int, ...]) -> list[Tensor]:
    """Squared distances [M] of each of features [M, D] to its k-th nearest other, for each k."""
    most = max(neighbours)
    if len(features) <= most:
        raise ValueError(f"the {most}-th nearest neighbour needs more than {most} images")
    # The nearest one of all is the image itself, or a copy of it.
    nearest = torch.cat(
        [d.topk(most + 1, dim=1, largest=False).values for d in _distances(features, features)]
    )
    return [nearest[:, k] for k in neighbours]


def _distances(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """Squared distances of a [M, D] to b [M', D], float64, block by block of rows.

    |a|^2 + |b|^2 - 2 a.b as one matrix product; what is 0 up to rounding is exactly 0, so copies
    of an image are at no distance.
    """
    a, b = a.double(), b.double()
    a_norm, b_norm = (x.square().sum(1, keepdim=True) for x in (a, b))
    rounding = 1e-12 * float(a_norm.max() + b_norm.max())
    right = torch.cat([-2 * b, torch.ones_like(b_norm), b_norm], dim=1).T.contiguous()
    left = torch.cat([a, a_norm, torch.ones_like(a_norm)], dim=1)
    for part in left.split(BLOCK):
        yield functional.threshold(part @ right, rounding, 0.0, inplace=True)


def _share(hits: Tensor) -> Estimate:
    share = float(hits.double().mean())
    return Estimate(share, (share * (1 - share) / len(hits)) ** 0.5)


def compute(real: Statistics, generated: Statistics) -> dict[str, Estimate]:
    """Of equally many images on both sides: the balls shrink as a set grows."""
    real_rows, generated_rows = real.rows, generated.rows  # each a copy of all features
    images = min(len(real_rows), len(generated_rows))
    return precision_recall_density_coverage(real_rows[:images], generated_rows[:images])
