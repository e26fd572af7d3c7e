"""The Fréchet distance between the Gaussians of two sets of features.

Heusel et al. 2017, "GANs trained by a two time-scale update rule converge to a local Nash
equilibrium" (FID, with the features of the 2015 Inception network); Dowson and Landau 1982 for the
distance itself.
"""

import torch
from torch import Tensor

from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.statistics import Statistics


def frechet_estimate(
    real_mean: Tensor, real_cov: Tensor, mean: Tensor, cov: Tensor, count: int
) -> Estimate:
    """Return the distance of `count` generated images from real ones, with its standard error.

    It is |m - m_r|^2 + tr(C_r + C - 2 (C_r C)^1/2), for means [D] and covariances [D, D], float64.
    tr (C_r C)^1/2 is computed as the sum of the singular values of F_r^T F, where C = F F^T comes
    from a symmetric eigendecomposition. This avoids complex numbers and square roots of rounding
    errors, so equal Gaussians have distance 0 even if the covariance is singular.

    The standard error is that of the delta method. The gradients of the distance d are 2 (m - m_r)
    with respect to the mean and A = I - T with respect to the covariance, where T C T = C_r (T is
    the optimal transport map; Takatsu 2011, "Wasserstein geometry of Gaussian measures"). For
    Gaussian features, Var d = (4 (m - m_r)^T C (m - m_r) + 2 tr (A C)^2) / count.
    """
    factor = _factor(cov)
    _, singular, vt = torch.linalg.svd(_factor(real_cov).T @ factor)
    difference = mean - real_mean
    distance = difference.square().sum() + real_cov.trace() + cov.trace() - 2 * singular.sum()
    # T C = F_r U V^T F^T, so tr (A C)^2 = tr C^2 - 2 tr C T C + tr C_r C needs no inverse:
    transported = (factor @ vt.T).square().sum(0) @ singular  # tr C T C
    quadratic = cov.square().sum() - 2 * transported + (real_cov * cov).sum()
    variance = (4 * difference @ cov @ difference + 2 * quadratic.clamp(min=0)) / count
    return Estimate(max(0.0, float(distance)), float(variance.clamp(min=0).sqrt()))


def _factor(covariance: Tensor) -> Tensor:
    """Return F [D, D] with F F^T = covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    factor: Tensor = vectors * values.clamp(min=0).sqrt()
    return factor


def compute(real: Statistics, generated: Statistics) -> dict[str, Estimate]:
    """Return the Fréchet distance of the generated images from the real ones."""
    r, g = real.moments, generated.moments
    return {
        "fd": frechet_estimate(r.mean(), r.covariance(), g.mean(), g.covariance(), generated.count)
    }
