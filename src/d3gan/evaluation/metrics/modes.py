"""Mode coverage: which classes are generated, and how evenly.

Metz et al. 2017, "Unrolled generative adversarial networks" (1,000 modes of stacked MNIST); Lin et
al. 2018, "PacGAN" (KL divergence of the generated classes from the data's).
"""

import torch
from torch import Tensor

from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.statistics import Statistics


def modes_found(counts: Tensor) -> Estimate:
    """Classes with at least one of the M images, by counts [K].

    Its standard error counts, for each class of share q that was found, the variance of its being
    found again: by a chance of 1 - (1 - q)^M.
    """
    share = counts / counts.sum()
    missed = ((1 - share) ** counts.sum())[counts > 0]
    return Estimate(float((counts > 0).sum()), float((missed * (1 - missed)).sum().sqrt()))


def kl_divergence(counts: Tensor, shares: Tensor) -> Estimate:
    """KL(q || p) in nats, of the class shares q of counts [K] from p = shares [K], all above 0.

    Its standard error is that of the mean of log q/p over the images.
    """
    images = counts.sum()
    q = counts / images
    log_ratio = torch.where(q > 0, q / shares, 1.0).log()
    divergence = (q * log_ratio).sum()
    variance = (q * (log_ratio - divergence).square()).sum() / images
    return Estimate(max(0.0, float(divergence)), float(variance.sqrt()))


def compute(real: Statistics, generated: Statistics) -> dict[str, Estimate]:
    """Classes of real images are the classifier's too: its mistakes are the same on both sides."""
    counts = real.class_counts
    uniform = torch.full_like(counts, 1 / len(counts))
    # Laplace's rule: no share is 0, which would make the divergence infinite.
    data = (counts + 1) / (counts.sum() + len(counts))
    return {
        "modes": modes_found(generated.class_counts),
        "kl_uniform": kl_divergence(generated.class_counts, uniform),
        "kl_data": kl_divergence(generated.class_counts, data),
    }
