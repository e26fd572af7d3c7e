"""Rules of multi-objective optimisation, which descend all losses at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from d3gan.gan.aggregation.base import AGGREGATIONS, Aggregation
from d3gan.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@AGGREGATIONS.register("hypervolume")
@dataclass(frozen=True)
class Hypervolume(Aggregation):
    """w_k proportional to 1 / (eta - g_k) with eta = delta * max_k g_k.

    Albuquerque et al. 2019, "Multi-objective training of generative adversarial networks with
    multiple discriminators", equations 8 and 12: the gradient of the log hypervolume. It is scaled
    to sum to one; without `normalize` it is the gradient of -sum_k log(eta - g_k) itself, which
    does not sum to one. The authors' hGAN has ``hypervolume(delta=1.5, normalize=False)`` on
    CIFAR-10, and fresh latents for the generator: `gan.fresh_batch`.
    """

    uses_random: ClassVar[bool] = False
    selects: ClassVar[bool] = False
    takes_signed: ClassVar[bool] = False
    delta: float = 1.1
    normalize: bool = True

    def __post_init__(self) -> None:
        if not self.delta > 1:
            raise ValueError(f"delta must be above 1, not {self.delta}")

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        weight = 1 / (self.delta * score.amax(dim=0) - score)
        return weight / weight.sum(dim=0) if self.normalize else weight


@AGGREGATIONS.register("minimum_norm")
@dataclass(frozen=True)
class MinimumNorm(Aggregation):
    """Descend along the shortest vector of the convex hull of the gradients of the g_k.

    Désidéri 2012, "Multiple-gradient descent algorithm (MGDA) for multiobjective optimization":
    w = argmin |sum_k w_k grad g_k|^2 over w_k >= 0 with sum one. A step in that direction lowers
    every g_k. It is the baseline MGD of Albuquerque et al. 2019.
    """

    uses_random: ClassVar[bool] = False
    selects: ClassVar[bool] = False
    gradients: ClassVar[bool] = True

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        weights = minimum_norm_weights(score.detach().cpu().double().numpy())
        return torch.from_numpy(weights).to(score)[:, None]


def minimum_norm_weights(gram: Any) -> Any:
    """Return the weights float64 [N] of the shortest vector in the convex hull of N vectors.

    `gram` float64 [N, N] holds the inner products of the vectors. The weights are u / sum u for the
    non-negative least-squares solution u of |sum_k u_k v_k|^2 + (sum_k u_k - 1)^2: for a given
    direction of u its minimum grows with the norm (Lawson and Hanson 1974, chapter 23). If all
    vectors vanish, or one is not finite, the weights are equal.
    """
    import numpy as np
    from scipy.optimize import nnls

    scale = np.trace(gram) / len(gram)
    if not 0 < scale < np.inf:
        return np.full(len(gram), 1 / len(gram))
    values, vectors = np.linalg.eigh(gram / scale)
    vectors_as_columns = np.sqrt(values.clip(min=0))[:, None] * vectors.T
    system = np.vstack([vectors_as_columns, np.ones(len(gram))])
    target = np.zeros(len(system))
    target[-1] = 1
    solution, _ = nnls(system, target)
    return solution / solution.sum()
