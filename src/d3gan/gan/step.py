"""One step of adversarial training against N discriminators: the whole algorithm."""

from collections.abc import Sequence

import torch
from torch import Tensor

from d3gan.gan.facing import unknown_where_not_faced, weights_before_losses
from d3gan.gan.game import Batch, Game, Losses, Scheduled
from d3gan.gan.losses import (
    at_once,
    detached,
    discriminator_losses,
    generated,
    generator_losses,
    gradient_of_each,
    joined,
    mean_probability,
    micro_batches,
    of_all_discriminators,
    over_all_images,
    set_gradient,
    total,
    with_graph,
)
from d3gan.gan.objectives import Terms


def train_step(
    game: Game,
    batches: Sequence[Batch],
    uniform: Tensor,
    *,
    fresh: Batch | None = None,
    scheduled: Scheduled | None = None,
) -> Losses:
    """Update the discriminators on each of `batches`, then the generator on `fresh`.

    Several batches are the k > 1 of Goodfellow et al. 2014, algorithm 1. Without `fresh` the
    generator is updated on the last of them. `uniform` [N, 1] is random on (0, 1), for random
    aggregation rules. The losses are those of the last batch.
    """
    *earlier, batch = batches
    scheduled = scheduled or Scheduled()
    for one in earlier:
        discriminator_step(game, one, None, scheduled)
    fake = None
    if fresh is None and game.accumulate == 1:  # the same images serve both players
        fake = game.generator(batch.z, batch.labels)
    terms, penalties = discriminator_step(game, batch, fake, scheduled)
    return generator_step(game, fresh or batch, fake, terms, uniform) | penalties


def discriminator_step(
    game: Game, batch: Batch, fake: Tensor | None, scheduled: Scheduled
) -> tuple[Losses, Losses]:
    """Minimise sum_k d_k(D_k(x), D_k(G(z))) + penalties.

    `fake` is G(z), if it was generated before. Return the terms of d_k [N, B], and the expectation
    [N] of every penalty's value.
    """
    E, played = game.expectation, []
    game.optimizer_d.zero_grad()
    for part in micro_batches(game, batch):
        images, of_each = generated(game, part, fake), []
        for rows in at_once(game, part):
            terms, values = discriminator_losses(game, part, images, rows)
            loss = E(total(terms)).sum()
            for penalty in game.penalties:
                weight = penalty.weight * scheduled.penalty_factor
                loss = loss + weight * E(values[penalty.name]).sum()
            loss.backward()
            of_each.append((detached(terms), detached(values)))
        terms, values = (joined(each, dim=0) for each in zip(*of_each, strict=True))
        played.append(of_all_discriminators(game, terms, values))
    game.optimizer_d.step()
    terms, values = (joined(each) for each in zip(*played, strict=True))
    return terms, {name: E(value) for name, value in values.items()}


def generator_step(
    game: Game, batch: Batch, fake: Tensor | None, d_terms: Terms, uniform: Tensor
) -> Losses:
    """Minimise sum_k w_k g_k(D_k(G(z)), D_k(x)), w = aggregation(scores).

    `fake` is G(z), if it was generated before. The weights depend on the scores of all images:
    with several micro-batches, these are computed first, without gradient.
    """
    E, rule, count, state = game.expectation, game.aggregation, len(uniform), game.aggregation_state
    score = rule.early_score(d_terms) if count > 1 else None
    if score is not None:  # ranks are in step here, right after the discriminators' gradients
        score = over_all_images(game, score)
    w, faced = weights_before_losses(game, score, uniform, batch.z)
    with torch.set_grad_enabled(game.accumulate == 1):
        parts = batch.split(game.accumulate)
        played = [generator_losses(game, part, fake, faced) for part in parts]
    terms, logits = (joined(each) for each in zip(*played, strict=True))
    g = total(terms)

    game.optimizer_g.zero_grad()
    if count > 1 and rule.gradients:
        gradients = gradient_of_each(game, batch, g)
        score = gradients @ gradients.T
        w = rule.adaptive_weights(score, uniform.to(score), state)
        set_gradient(game, (w * gradients).sum(dim=0))
    else:
        if w is None and count > 1:
            score = over_all_images(game, g.detach())
            w = rule.adaptive_weights(score, uniform.to(score), state)
        w = torch.ones_like(g) if w is None else w  # N = 1 is the plain GAN whatever the rule
        shares = w.expand_as(g).tensor_split(game.accumulate, dim=1)
        for g_k, w_k in zip(with_graph(game, batch, g, faced), shares, strict=True):
            E((w_k * g_k).sum(dim=0)).backward()
    game.optimizer_g.step()
    if count > 1 and state:
        assert score is not None
        before = after = None
        if rule.feedback:
            before = game.mean_over_images(logits["logits"].detach().sigmoid())
            after = mean_probability(game, batch)
        rule.update(state, score, before, after)

    g, losses = g.detach(), {f"loss_d_{name}": E(term) for name, term in d_terms.items()}
    g_terms = {f"loss_g_{name}": E(term.detach()) for name, term in terms.items()}
    losses |= unknown_where_not_faced(g_terms, faced)
    losses["loss_d"] = E(total(d_terms))
    return losses | {"weights": E(w.expand_as(g)), "loss_g": E((w * g).sum(dim=0))}
