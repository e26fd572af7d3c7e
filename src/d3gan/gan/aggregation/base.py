"""The interface of aggregation rules.

A rule turns a score of every discriminator into N weights, which are non-negative and sum to one
unless the rule says otherwise. Scores are linear in the losses, so their mean over all images can
be summed over ranks. With one discriminator the weight is 1 whatever the rule: the plain GAN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from d3gan.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


class Aggregation:
    """A rule that computes the weights w_k of the generator's losses g_k."""

    per_sample: ClassVar[bool] = False
    """Whether every generated image has its own weights, instead of all sharing those of the mean
    score."""
    selects: ClassVar[bool] = True
    """Whether all weight goes to one discriminator, the chosen one."""
    equal_weights: ClassVar[bool] = False
    """Whether all weights are 1 / N, as objectives need that sum over the discriminators."""
    sums_to_one: ClassVar[bool] = True
    """Whether the weights sum to one, with the default parameters."""
    takes_signed: ClassVar[bool] = True
    """Whether losses may be negative."""
    needs_one_sign: ClassVar[bool] = False
    """Whether either no loss may be negative or none positive."""
    needs_scores: ClassVar[bool] = True
    """Whether the weights depend on the scores; if not, they are known before the generator's
    losses are."""
    needs_separable: ClassVar[bool] = False
    """Whether the rule is defined for separable objectives only."""
    gradients: ClassVar[bool] = False
    """Whether the score is the matrix [N, N] of inner products of the gradients of the g_k with
    respect to the generator's parameters, over all images and ranks."""
    uses_random: ClassVar[bool] = True
    """Whether the weights depend on `uniform`. If not, no random numbers are drawn for the rule."""
    feedback: ClassVar[bool] = False
    """Whether `update` receives the mean outputs of the discriminators for a batch of generated
    images before and after the generator's update."""

    def early_score(self, terms: Mapping[str, Tensor]) -> Tensor | None:
        """Return scores [N, B] from the terms [N, B] of the discriminators' step.

        None for a rule that scores by g, the generator's losses [N, B] of its own step.
        """
        return None

    def weights(self, score: Tensor, uniform: Tensor) -> Tensor:
        """Return weights [N, B] from scores [N, B], where B = 1 unless the rule is per sample.

        Scores are [N, N] and weights [N, 1] for a rule of `gradients`. `uniform` [N, 1] is random
        on (0, 1) and the same on every rank; zeros unless `uses_random`.
        """
        raise NotImplementedError

    def initial_state(self, count: int) -> dict[str, Tensor]:
        """Return the state of a rule for `count` discriminators that learns its weights.

        Tensors by name; checkpoints hold them, and they are the same on every rank.
        """
        return {}

    def adaptive_weights(
        self, score: Tensor, uniform: Tensor, state: Mapping[str, Tensor]
    ) -> Tensor:
        """Return `weights` of a rule that has a state."""
        return self.weights(score, uniform)

    def update(
        self,
        state: Mapping[str, Tensor],
        score: Tensor,
        before: Tensor | None,
        after: Tensor | None,
    ) -> None:
        """Change the state in place after the generator's update.

        `score` is the one that gave the weights. `before` and `after` [N] are E D_k(G(z)), the mean
        of the sigmoid of the logits over all images and ranks, with the generator before and after
        its update; None unless the rule asks for `feedback`.
        """


AGGREGATIONS: Registry[Aggregation] = Registry("aggregation rule", Aggregation)
