"""Fidelity and diversity: precision and recall, density and coverage.

Precision and recall: Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing
generative models", k = 3. Density and coverage: Naeem et al. 2020, "Reliable fidelity and
diversity metrics for generative models", k = 5. All use balls around the features of each image
whose radius is the distance to its k-th nearest neighbour in its own set.
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
"""Number of rows of the distance matrix in memory at once."""


def precision_recall_density_coverage(real: Tensor, generated: Tensor) -> dict[str, Estimate]:
    """Return the four metrics for features real [M, D] and generated [M', D], more than 5 each.

    Precision: share of generated images inside the ball of a real image. Recall: share of real
    images inside the ball of a generated image. Density: number of real balls that contain a
    generated image, averaged and divided by k. Coverage: share of real images whose ball contains a
    generated image. Standard errors are those of a share or of a mean.
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
    """Return squared distances [M] of features [M, D] to their k-th nearest neighbour, each k."""
    most = max(neighbours)
    if len(features) <= most:
        raise ValueError(f"the {most}-th nearest neighbour needs more than {most} images")
    # The nearest of all is the image itself, or a copy of it.
    nearest = torch.cat(
        [d.topk(most + 1, dim=1, largest=False).values for d in _distances(features, features)]
    )
    return [nearest[:, k] for k in neighbours]


def _distances(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """Yield squared distances of a [M, D] to b [M', D], float64, in blocks of rows.

    Computes |a|^2 + |b|^2 - 2 a.b as one matrix product. Distances that are 0 up to rounding are
    set to 0, so copies of an image have distance 0.
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
    """Return the metrics of equally many images of both sets: balls shrink as a set grows."""
    real_rows, generated_rows = real.rows, generated.rows  # each call copies all features
    images = min(len(real_rows), len(generated_rows))
    return precision_recall_density_coverage(real_rows[:images], generated_rows[:images])
