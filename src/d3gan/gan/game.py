"""What a step of adversarial training needs: the players, the rules, and a batch."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer

from d3gan.gan.aggregation import Aggregation
from d3gan.gan.augment import Augmentation
from d3gan.gan.objectives import Objective
from d3gan.gan.penalties import Penalty

Losses = dict[str, Tensor]
"""What a step reports, by name: this rank's part of each expectation, detached.

``loss_d_NAME`` and ``loss_g_NAME`` [N] for every term that the objective names, ``loss_d`` [N]
(their sum), the unweighted value [N] of every penalty by its name, ``weights`` [N], and ``loss_g``
[], the sum of w_k g_k. ``loss_g_NAME`` is not a number for discriminators that were not computed in
the generator's step, because their weight is zero.
"""


class Batch(NamedTuple):
    """The inputs of one update of the discriminators, or of the generator, on this rank."""

    real: Tensor
    """Images [B, C, H, W] in [-1, 1]; or [n, B, C, H, W], other ones for each of the n
    discriminators of this rank."""
    z: Tensor
    """Latents [B, latent]."""
    labels: Tensor | None = None
    """Classes int64 [B] of real and of generated images, if the networks are conditional."""
    augmentation: Tensor | None = None
    """Random numbers [4, B, draws]: of real and generated images in the step of the
    discriminators, then in the generator's."""
    interpolation: Tensor | None = None
    """Random numbers [B, 1] of penalties between real and generated images."""
    augmented: Tensor | None = None
    """Which augmentations change which images, bool [4, B, augmentations]; None: all change all."""

    def split(self, count: int) -> "list[Batch]":
        """Return `count` micro-batches, whose sizes differ by at most one image."""
        if count == 1:
            return [self]
        axes = (self.real.dim() - 4, 0, 0, 1, 0, 1)
        parts = [
            [None] * count if x is None else x.tensor_split(count, dim=axis)
            for x, axis in zip(self, axes, strict=True)
        ]
        return [Batch(*each) for each in zip(*parts, strict=True)]


class Scheduled(NamedTuple):
    """Values that change during a run; tensors where the step is recorded as a CUDA graph."""

    penalty_factor: float | Tensor = 1.0
    """Factor of the weights of all penalties."""


@dataclass(frozen=True)
class Game:
    """The players and the rules. The networks may be wrapped to reduce gradients over ranks."""

    generator: Callable[[Tensor, Tensor | None], Tensor]
    """z [B, latent] and labels -> images [B, C, H, W]. Gradients are not reduced over ranks if the
    aggregation rule uses those of each discriminator (`Aggregation.gradients`)."""
    discriminators: nn.Module
    """Batches [B, C, H, W], each normalised separately, and ``labels=`` -> logits [n, sum of B]
    of the n discriminators that are trained on this rank; with ``only=`` of some of them."""
    members: range
    """The indices k of these n discriminators among all N."""
    optimizer_g: Optimizer
    optimizer_d: Optimizer
    objective: Objective
    aggregation: Aggregation
    penalties: Sequence[Penalty]
    augmentations: Sequence[Augmentation]
    expectation: Callable[[Tensor], Tensor]
    """E over this rank's images, [..., B] -> [...]. Its mean over ranks is E over all images, and
    its values for micro-batches add up to the value for the batch."""
    mean_over_ranks: Callable[[Tensor], Tensor]
    """The mean over ranks, the same on every rank. It is differentiable."""
    all_gather_discriminators: Callable[[Tensor], Tensor]
    """[..., n, B] -> [..., N, B]; n = N unless other ranks train some of the discriminators.
    Gradients flow to the n of this rank."""
    aggregation_state: dict[str, Tensor] = field(default_factory=dict)
    """State of an adaptive aggregation rule, updated in place, the same on every rank."""
    alike: bool = False
    """Whether all discriminators are the same network with other weights, so that one of them can
    be computed whose number only the device knows."""
    one_by_one: bool = False
    """Whether the losses of the discriminators are differentiated one after another, which saves
    memory. A wrapper that reduces gradients needs one backward pass for all."""
    accumulate: int = 1
    """Number of micro-batches over which gradients are accumulated."""
    no_sync: Callable[[], AbstractContextManager[object]] = nullcontext
    """Context in which no gradient is reduced over ranks: for all micro-batches but the last."""

    def mean_over_images(self, x: Tensor) -> Tensor:
        """Return the mean over all images of the global batch, [..., B] -> [...].

        All ranks wait for each other here.
        """
        return self.mean_over_ranks(self.expectation(x))
