"""The Inception score, and with other networks the classifier score.

Salimans et al. 2016, "Improved techniques for training GANs", section 4.
"""

import torch

from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.statistics import ScoreSums, Statistics


def classifier_score(sums: ScoreSums) -> Estimate:
    """exp E_x KL(p(y|x) || p(y)), its mean over parts of the set, and the mean's standard error.

    Parts are random; the authors' program takes runs of images in order, which is the same for
    images that come in no order. The spread that papers print after a plus-minus sign is the
    standard deviation over ten parts: sqrt(10) times the standard error here.
    """
    count = sums.count[sums.count > 0]
    probabilities, negative_entropy = (
        part[sums.count > 0] for part in (sums.probabilities, sums.negative_entropy)
    )
    marginal = probabilities / count[:, None]
    # E_x KL = E_x sum_y p(y|x) log p(y|x) - sum_y p(y) log p(y)
    divergence = negative_entropy / count - torch.xlogy(marginal, marginal).sum(1)
    scores = divergence.exp()
    spread = float(scores.std()) if len(scores) > 1 else 0.0
    return Estimate(float(scores.mean()), spread / len(scores) ** 0.5)


def compute(real: Statistics, generated: Statistics) -> dict[str, Estimate]:
    """Return the classifier score of the generated images."""
    return {"cs": classifier_score(generated.scores)}
