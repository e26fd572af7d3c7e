"""Label agreement: how often a conditional generator draws the class that was requested.

Share of images that a classifier of the data's labels puts into the requested class; Ravuri and
Vinyals 2019, "Classification accuracy score for conditional generative models", is the converse,
which trains the classifier on generated images.
"""

from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.statistics import Statistics


def compute(real: Statistics, generated: Statistics) -> dict[str, Estimate]:
    """Return the share of generated images that agree, with the standard error of a share."""
    share = float(generated.agreements) / generated.count
    error = (share * (1 - share) / generated.count) ** 0.5
    return {"label_agreement": Estimate(share, error)}
