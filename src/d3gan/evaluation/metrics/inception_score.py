"""The Inception score, called classifier score with other networks.

Salimans et al. 2016, "Improved techniques for training GANs", section 4.
"""

import torch

from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.statistics import ScoreSums, Statistics


def classifier_score(sums: ScoreSums) -> Estimate:
    """Return exp E_x KL(p(y|x) || p(y)): the mean over parts of the set, and its standard error.

    Parts are random; the authors' program takes consecutive images, which is equivalent if their
    order is random. Papers print the standard deviation over ten parts after a plus-minus sign:
    sqrt(10) times the standard error here.
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
