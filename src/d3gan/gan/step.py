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
    all_gather_discriminators: Callable[[Tensor], Tensor]
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
    r, f, penalty = game.all_gather_discriminators(discriminator_step(game, real, fake.detach()))
    score = game.aggregation.early_score(r, f)
    if score is not None:  # ranks are still close together, after the discriminators' gradients
        score = agreed(game, score)

    # G step: minimise sum_k w_k g_k
    with frozen(game.discriminators) as discriminators:
        g = game.all_gather_discriminators(objective.generator(discriminators(fake)))
    if score is None:
        score = agreed(game, g.detach())
    w = game.aggregation.weights(score, uniform.to(score))
    loss_g = E((w * g).sum(dim=0))
    game.optimizer_g.zero_grad()
    loss_g.backward()
    game.optimizer_g.step()

    return StepLosses(E(r), E(f), E(penalty), E(g.detach()), E(w.expand_as(g)), loss_g.detach())


def agreed(game: Game, score: Tensor) -> Tensor:
    """What the rule goes by, the same on all ranks: mean scores [N, 1], unless it weighs every
    image by itself, by its own scores [N, B]. Ranks wait for each other here."""
    if game.aggregation.per_sample:
        return score
    return game.mean_over_ranks(game.expectation(score))[:, None]


def discriminator_step(game: Game, real: Tensor, fake: Tensor) -> Tensor:
    """Minimise sum_k (r_k + f_k) + gamma / 2 * R1_k; those three, from before: [3, n, B]."""
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
    return torch.stack([r, f, penalty]).detach()


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
