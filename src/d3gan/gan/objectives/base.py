"""The interface of objectives, and the common case of separable ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from d3gan.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    Terms = Mapping[str, Tensor]
    """Loss terms by name, each with the shape of the logits. Their sum is minimised."""
    Mean = Callable[[Tensor], Tensor]
else:
    Terms = Mapping
    Mean = Callable


class Objective:
    """The per-image losses of the discriminators and of the generator.

    Real and generated images are paired by their position in the batch: logits of both are given
    together, because relativistic objectives compare them. Logits have the shape [B], or [n, B]
    for n discriminators at once unless the objective is `asymmetric`; losses have the same shape.
    """

    signed: ClassVar[bool] = False
    """Whether the generator's loss can be negative."""
    negative: ClassVar[bool] = False
    """Whether the generator's loss is never positive."""
    separable: ClassVar[bool] = False
    """Whether d_k = r(D_k(x)) + f(D_k(G(z))), with the terms named ``real`` and ``fake``."""
    pairs: ClassVar[bool] = False
    """Whether the generator's loss depends on the logits of real images."""
    asymmetric: ClassVar[bool] = False
    """Whether the losses depend on the index k. Then each call is for one discriminator."""
    discriminators: ClassVar[int | None] = None
    """Number of discriminators for which the objective is defined; None for any number."""
    equal_weights: ClassVar[bool] = False
    """Whether the generator faces all discriminators equally, so that no other aggregation rule is
    defined."""

    @property
    def least_discriminators(self) -> int:
        """Smallest number of discriminators for which the objective is defined."""
        return self.discriminators or 1

    def discriminator(self, real: Tensor, fake: Tensor, k: int) -> Terms:
        """Return the loss terms of discriminator k from D_k(x) and D_k(G(z))."""
        raise NotImplementedError

    def generator(self, fake: Tensor, real: Tensor | None, k: int) -> Terms:
        """Return the generator's loss terms against discriminator k.

        `real` holds D_k(x), without gradient, if the objective `pairs`; otherwise it is None.
        """
        raise NotImplementedError


class SeparableObjective(Objective):
    """An objective whose terms depend on real or on generated images, never on both.

    d_k = r(D_k(x)) + f(D_k(G(z))) and g_k = g(D_k(G(z))).
    """

    separable: ClassVar[bool] = True

    def real_loss(self, logits: Tensor) -> Tensor:
        """Return r, the discriminator's loss on real images."""
        raise NotImplementedError

    def fake_loss(self, logits: Tensor) -> Tensor:
        """Return f, the discriminator's loss on generated images."""
        raise NotImplementedError

    def generator_loss(self, logits: Tensor) -> Tensor:
        """Return g, the generator's loss on the logits of its images."""
        raise NotImplementedError

    def discriminator(self, real: Tensor, fake: Tensor, k: int) -> Terms:
        return {"real": self.real_loss(real), "fake": self.fake_loss(fake)}

    def generator(self, fake: Tensor, real: Tensor | None, k: int) -> Terms:
        return {"adversarial": self.generator_loss(fake)}


class JointObjective(Objective):
    """An objective in which a discriminator's loss depends on the logits of the others, or on means
    over the batch.

    `mean` maps [..., B] to [...]: the mean over all images of the batch, on all ranks. Gradients
    flow through it.
    """

    def joint_discriminator(self, real: Tensor, fake: Tensor, mean: Mean) -> Terms:
        """Return the loss terms [N, B] of all discriminators from their logits [N, B]."""
        raise NotImplementedError

    def joint_generator(self, fake: Tensor, real: Tensor | None, mean: Mean) -> Terms:
        """Return the generator's loss terms [N, B] against each discriminator.

        `real` [N, B] is given, without gradient, if the objective `pairs`.
        """
        raise NotImplementedError


OBJECTIVES: Registry[Objective] = Registry("objective", Objective)
