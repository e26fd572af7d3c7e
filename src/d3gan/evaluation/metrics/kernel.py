"""The kernel distance, called KID with Inception features: maximum mean discrepancy, cubic kernel.

Binkowski et al. 2018, "Demystifying MMD GANs", section 4: kernel (x . y / D + 1)^3, unbiased
estimator, mean over subsets.
"""

import torch
from torch import Tensor

from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.statistics import Statistics
from d3gan.rng import Stream, permutation

SUBSET = 1000
"""Largest number of images in a subset."""
SUBSETS = 10
"""Smallest number of subsets; smaller sets of images are divided into smaller subsets."""


def squared_mmd(x: Tensor, y: Tensor) -> float:
    """Return the unbiased squared MMD between features x [M, D] and y [M', D]; may be negative."""
    x, y = x.double(), y.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def mean_of_others(a: Tensor) -> Tensor:
        k = kernel(a, a)
        return (k.sum() - k.trace()) / (len(a) * (len(a) - 1))

    return float(mean_of_others(x) + mean_of_others(y) - 2 * kernel(x, y).mean())


def kernel_distance(real: Tensor, generated: Tensor) -> Estimate:
    """Return the distance of features real [M, D] and generated [M', D], at least 20 images each.

    The subsets are disjoint, so their estimates are independent and their spread gives a valid
    standard error. (The usual 100 random subsets share images, which makes it too small.)
    """
    images = min(len(real), len(generated))
    size = min(SUBSET, images // SUBSETS)
    if size < 2:
        raise ValueError(f"the kernel distance needs {2 * SUBSETS} images, not {images}")
    number = images // size
    # Two orders, so that an image in both sets is not compared with itself.
    x, y = (
        features[permutation(0, Stream.EVALUATION_SUBSET, side, len(features))[: number * size]]
        for side, features in enumerate((real, generated))
    )
    estimates = torch.tensor(
        [squared_mmd(a, b) for a, b in zip(x.split(size), y.split(size), strict=True)]
    ).double()
    return Estimate(float(estimates.mean()), float(estimates.std() / number**0.5))


def compute(real: Statistics, generated: Statistics) -> dict[str, Estimate]:
    """Return the kernel distance of the generated images from the real ones."""
    return {"kd": kernel_distance(real.rows, generated.rows)}
