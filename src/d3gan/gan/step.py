"""One step of adversarial training against N discriminators: the whole algorithm."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from d3gan.gan.aggregation import Aggregation
from d3gan.gan.objectives import Objective, r1_penalty


@dataclass(frozen=True)
class Game:
    """The players and the rules. The networks may be wrapped to reduce gradients over ranks."""

    generator: Callable[[Tensor], Tensor]
    """z [B, latent] -> images [B, C, H, W]."""
    discriminators: nn.Module
    """Several batches [B, C, H, W], each normalised by itself -> logits [n, all images], by the n
    discriminators that are trained here."""
    optimizer_g: Optimizer
    optimizer_d: Optimizer
    objective: Objective
    aggregation: Aggregation
    r1_gamma: float
    expectation: Callable[[Tensor], Tensor]
    """E over this rank's images, [..., B] -> [...]; its mean over ranks is E over all images."""
    mean_over_ranks: Callable[[Tensor], Tensor]
    of_all: Callable[[Tensor], Tensor]
    """[..., n, B] of the discriminators here -> [..., N, B] of all; n = N unless other ranks train
    some. Gradients flow to those here."""


class StepLosses(NamedTuple):
    """What a step came to, this rank's part of each expectation, detached."""

    real: Tensor
    """r_k [N]"""
    fake: Tensor
    """f_k [N]"""
    penalty: Tensor
    """R1_k [N]"""
    generator: Tensor
    """g_k [N]"""
    weights: Tensor
    """w_k [N]"""
    loss_g: Tensor
    """sum_k w_k g_k, a scalar"""


def train_step(game: Game, batches: Sequence[tuple[Tensor, Tensor]], uniform: Tensor) -> StepLosses:
    """Update all discriminators on each of the batches, then the generator on the last one's noise.

    `batches` of real images [B, C, H, W] in [-1, 1] and noise z [B, latent]: one, or several as in
    Goodfellow et al. 2014, algorithm 1; uniform [N, 1] in (0, 1) for random rules. The losses told
    are those of the last batch.
    """
    E, objective = game.expectation, game.objective
    *earlier, (real, z) = batches
    for real_earlier, z_earlier in earlier:
        with torch.no_grad():
            fake = game.generator(z_earlier)
        discriminator_step(game, real_earlier, fake)
    fake = game.generator(z)
    r, f, penalty = discriminator_step(game, real, fake.detach())

    # G step: minimise sum_k w_k g_k
    with frozen(game.discriminators) as discriminators:
        g = objective.generator(discriminators(fake))
    losses = game.of_all(torch.stack([r, f, penalty, g]))
    (r, f, penalty, _), g = losses.detach(), losses[3]
    score = game.aggregation.score(r, f, g.detach())
    if not game.aggregation.per_sample:
        score = game.mean_over_ranks(E(score))[:, None]
    w = game.aggregation.weights(score, uniform.to(score))
    loss_g = E((w * g).sum(dim=0))
    game.optimizer_g.zero_grad()
    loss_g.backward()
    game.optimizer_g.step()

    return StepLosses(E(r), E(f), E(penalty), E(g.detach()), E(w.expand_as(g)), loss_g.detach())


def discriminator_step(game: Game, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Minimise sum_k (r_k + f_k) + gamma / 2 * R1_k; those three [n, B], from before, detached."""
    E, objective = game.expectation, game.objective
    real.requires_grad_(game.r1_gamma > 0)
    logits = game.discriminators(real, fake)
    logits_real, logits_fake = logits.split(len(real), dim=1)
    r, f = objective.real(logits_real), objective.fake(logits_fake)
    penalty = r1_penalty(logits_real, real) if game.r1_gamma > 0 else r.new_zeros(r.shape)
    loss_d = E(r + f + game.r1_gamma / 2 * penalty).sum()
    game.optimizer_d.zero_grad()
    loss_d.backward()
    game.optimizer_d.step()
    return r.detach(), f.detach(), penalty.detach()


@contextmanager
def frozen(discriminators: nn.Module) -> Iterator[nn.Module]:
    """The bare network, its parameters without gradient: nothing to compute, nothing to reduce."""
    bare = getattr(discriminators, "module", discriminators)
    assert isinstance(bare, nn.Module)
    bare.requires_grad_(False)
    try:
        yield bare
    finally:
        bare.requires_grad_(True)
