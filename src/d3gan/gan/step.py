"""One step of adversarial training against N discriminators: the whole algorithm."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from d3gan.gan.aggregation import Aggregation
from d3gan.gan.augment import Augmentation, augment
from d3gan.gan.objectives import Objective, Terms
from d3gan.gan.penalties import Penalty

Losses = dict[str, Tensor]
"""What a step reports, by name: this rank's part of each expectation, detached.

``loss_d_NAME`` and ``loss_g_NAME`` [N] for every term that the objective names, ``loss_d`` [N]
(their sum), the unweighted value [N] of every penalty by its name, ``weights`` [N], and ``loss_g``
[], the sum of w_k g_k.
"""


class Batch(NamedTuple):
    """The inputs of one update of the discriminators, on this rank."""

    real: Tensor
    """Images [B, C, H, W] in [-1, 1]."""
    z: Tensor
    """Latents [B, latent]."""
    labels: Tensor | None = None
    """Classes int64 [B] of real and of generated images, if the networks are conditional."""
    augmentation: Tensor | None = None
    """Random numbers [4, B, draws]: of real and generated images in the step of the
    discriminators, then in the generator's."""
    interpolation: Tensor | None = None
    """Random numbers [B, 1] of penalties between real and generated images."""


@dataclass(frozen=True)
class Game:
    """The players and the rules. The networks may be wrapped to reduce gradients over ranks."""

    generator: Callable[[Tensor, Tensor | None], Tensor]
    """z [B, latent] and labels -> images [B, C, H, W]."""
    discriminators: nn.Module
    """Batches [B, C, H, W], each normalised separately, and ``labels=`` -> logits [n, sum of B]
    of the n discriminators that are trained on this rank."""
    members: range
    """The indices k of these n discriminators among all N."""
    optimizer_g: Optimizer
    optimizer_d: Optimizer
    objective: Objective
    aggregation: Aggregation
    penalties: Sequence[Penalty]
    augmentations: Sequence[Augmentation]
    expectation: Callable[[Tensor], Tensor]
    """E over this rank's images, [..., B] -> [...]; its mean over ranks is E over all images."""
    mean_over_ranks: Callable[[Tensor], Tensor]
    all_gather_discriminators: Callable[[Tensor], Tensor]
    """[..., n, B] -> [..., N, B]; n = N unless other ranks train some of the discriminators.
    Gradients flow to the n of this rank."""


def train_step(game: Game, batches: Sequence[Batch], uniform: Tensor) -> Losses:
    """Update the discriminators on each batch, then the generator on the last one's latents.

    Several batches are the k > 1 of Goodfellow et al. 2014, algorithm 1. `uniform` [N, 1] is random
    on (0, 1), for random aggregation rules. The losses are those of the last batch.
    """
    *earlier, batch = batches
    for one in earlier:
        with torch.no_grad():
            fake = game.generator(one.z, one.labels)
        discriminator_step(game, one, fake)
    fake = game.generator(batch.z, batch.labels)
    terms, penalties = discriminator_step(game, batch, fake.detach())
    return generator_step(game, batch, fake, terms, uniform) | penalties


def discriminator_step(game: Game, batch: Batch, fake: Tensor) -> tuple[Terms, Losses]:
    """Minimise sum_k d_k(D_k(x), D_k(G(z))) + penalties.

    Return the terms of d_k [N, B], and the expectation [N] of every penalty's value.
    """
    E, penalties = game.expectation, game.penalties
    real, fake = batch.real.detach(), fake.detach()
    points = [penalty.points(real, fake, batch.interpolation) for penalty in penalties]
    for images in points:
        images.requires_grad_()
    between = [images for images in points if images is not real and images is not fake]
    inputs = [_augmented(game, batch, x, draws) for draws, x in ((0, real), (1, fake))]
    inputs += [_augmented(game, batch, x, 0) for x in between]
    logits = game.discriminators(*inputs, labels=batch.labels)
    on_real, on_fake, *_ = logits.split(len(real), dim=1)

    terms = _per_discriminator(
        game, lambda n, k: game.objective.discriminator(on_real[n], on_fake[n], k)
    )
    values = _penalties(penalties, logits, points)
    loss_d = torch.stack([*terms.values()]).sum(dim=0)
    for penalty in penalties:
        loss_d = loss_d + penalty.weight * values[penalty.name]
    game.optimizer_d.zero_grad()
    E(loss_d).sum().backward()
    game.optimizer_d.step()

    columns = torch.stack([*terms.values(), *values.values()]).detach()
    everything = dict(zip([*terms, *values], game.all_gather_discriminators(columns), strict=True))
    return {name: everything[name] for name in terms}, {n: E(everything[n]) for n in values}


def generator_step(
    game: Game, batch: Batch, fake: Tensor, d_terms: Terms, uniform: Tensor
) -> Losses:
    """Minimise sum_k w_k g_k(D_k(G(z)), D_k(x)), w = aggregation(scores)."""
    E, aggregation, count = game.expectation, game.aggregation, len(uniform)
    score = aggregation.early_score(d_terms) if count > 1 else None
    if score is not None:  # ranks are in step here, right after the discriminators' gradients
        score = _over_all_images(game, score)
    with frozen(game.discriminators) as discriminators:
        logits = discriminators(_augmented(game, batch, fake, 3), labels=batch.labels)
        real = None
        if game.objective.pairs:
            with torch.no_grad():
                real = discriminators(_augmented(game, batch, batch.real, 2), labels=batch.labels)
    terms = _per_discriminator(
        game, lambda n, k: game.objective.generator(logits[n], None if real is None else real[n], k)
    )
    g_terms = game.all_gather_discriminators(torch.stack([*terms.values()]))
    g = g_terms.sum(dim=0)
    if count == 1:  # the plain GAN whatever the rule
        w = torch.ones_like(g)
    else:
        score = _over_all_images(game, g.detach()) if score is None else score
        w = aggregation.weights(score, uniform.to(score))
    loss_g = E((w * g).sum(dim=0))
    game.optimizer_g.zero_grad()
    loss_g.backward()
    game.optimizer_g.step()

    losses = {f"loss_d_{name}": E(term) for name, term in d_terms.items()}
    losses |= {f"loss_g_{n}": E(t) for n, t in zip(terms, g_terms.detach(), strict=True)}
    losses["loss_d"] = E(torch.stack([*d_terms.values()]).sum(dim=0))
    return losses | {"weights": E(w.expand_as(g)), "loss_g": loss_g.detach()}


def _augmented(game: Game, batch: Batch, images: Tensor, draws: int) -> Tensor:
    numbers = None if batch.augmentation is None else batch.augmentation[draws]
    return augment(game.augmentations, images, numbers)


def _per_discriminator(game: Game, terms: Callable[[int | slice, int], Terms]) -> Losses:
    """Return the terms [n, B] of this rank's discriminators from ``terms(row, k)``."""
    if not game.objective.asymmetric:
        return dict(terms(slice(None), game.members.start))
    rows = [terms(row, k) for row, k in enumerate(game.members)]
    return {name: torch.stack([each[name] for each in rows]) for name in rows[0]}


def _penalties(penalties: Sequence[Penalty], logits: Tensor, points: Sequence[Tensor]) -> Losses:
    """Return every penalty's value [n, B] from logits [n, images] that depend on its points.

    Exact per image if each logit depends on its own image alone (no batch norm).
    """
    if not penalties:
        return {}
    gradients = [torch.autograd.grad(row.sum(), points, create_graph=True) for row in logits]
    return {
        penalty.name: torch.stack([penalty.value(gradient) for gradient in of_penalty])
        for penalty, of_penalty in zip(penalties, zip(*gradients, strict=True), strict=True)
    }


def _over_all_images(game: Game, score: Tensor) -> Tensor:
    """Return the mean scores [N, 1] over all images and ranks, or [N, B] for a per-sample rule.

    All ranks wait for each other here.
    """
    if game.aggregation.per_sample:
        return score
    return game.mean_over_ranks(game.expectation(score))[:, None]


@contextmanager
def frozen(discriminators: nn.Module) -> Iterator[nn.Module]:
    """Yield the unwrapped module with its parameters frozen: no gradient is computed or reduced."""
    bare = getattr(discriminators, "module", discriminators)
    assert isinstance(bare, nn.Module)
    bare.requires_grad_(False)
    try:
        yield bare
    finally:
        bare.requires_grad_(True)
