"""Mode coverage: which classes are generated, and how evenly.

Metz et al. 2017, "Unrolled generative adversarial networks" (1,000 modes of stacked MNIST); Lin et
al. 2018, "PacGAN" (KL divergence of the generated classes from the data's).
"""

import torch
from torch import Tensor

from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.statistics import Statistics


def modes_found(counts: Tensor) -> Estimate:
    """Return the number of classes with at least one of the M images, from counts [K].

    Its variance is the sum over the classes found, of share q, of the variance of finding the class
    in another sample, which has probability 1 - (1 - q)^M.
    """
    share = counts / counts.sum()
    missed = ((1 - share) ** counts.sum())[counts > 0]
    return Estimate(float((counts > 0).sum()), float((missed * (1 - missed)).sum().sqrt()))


def kl_divergence(counts: Tensor, shares: Tensor) -> Estimate:
    """Return KL(q || p) in nats for the class shares q of counts [K] and p = shares [K] > 0.

    Its standard error is that of the mean of log q/p over the images.
    """
    images = counts.sum()
    q = counts / images
    log_ratio = torch.where(q > 0, q / shares, 1.0).log()
    divergence = (q * log_ratio).sum()
    variance = (q * (log_ratio - divergence).square()).sum() / images
    return Estimate(max(0.0, float(divergence)), float(variance.sqrt()))


def compute(real: Statistics, generated: Statistics) -> dict[str, Estimate]:
    """Return modes found and both divergences.

    Real images are classified too, so that the classifier's errors are the same on both sides.
    """
    counts = real.class_counts
    uniform = torch.full_like(counts, 1 / len(counts))
    # Laplace's rule avoids shares of 0, which would make the divergence infinite.
    data = (counts + 1) / (counts.sum() + len(counts))
    return {
        "modes": modes_found(generated.class_counts),
        "kl_uniform": kl_divergence(generated.class_counts, uniform),
        "kl_data": kl_divergence(generated.class_counts, data),
    }
