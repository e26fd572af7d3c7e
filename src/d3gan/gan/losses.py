"""The losses of both players for one batch: what a step minimises."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from d3gan.gan.augment import augment
from d3gan.gan.facing import Faced, placed
from d3gan.gan.game import Batch, Game, Losses
from d3gan.gan.objectives import JointObjective, Terms

Rows = Sequence[int] | None
"""Some of this rank's n discriminators, by their place among them; None: all."""

# The discriminators' losses


def at_once(game: Game, batch: Batch) -> list[Rows]:
    """Return the groups of discriminators whose losses are differentiated together.

    One after another (`Game.one_by_one`) needs the memory of one only. A joint objective needs the
    logits of all together.
    """
    together = isinstance(game.objective, JointObjective) or batch.real.dim() == 5
    if together or not game.one_by_one:
        return [None]
    return [[row] for row in range(len(game.members))]


@torch.no_grad()
def generated(game: Game, batch: Batch, fake: Tensor | None) -> Tensor:
    """Return G(z) for the step of the discriminators, unless `fake` is it already."""
    return game.generator(batch.z, batch.labels) if fake is None else fake


def discriminator_losses(
    game: Game, batch: Batch, fake: Tensor, rows: Rows = None
) -> tuple[Losses, Losses]:
    """Return the terms of d_k [n or N, B] and the penalties' values [n, B] of a micro-batch.

    With `rows` they are those of some of this rank's n discriminators.
    """
    real, fake = batch.real.detach(), fake.detach()
    points = [penalty.points(real, fake, batch.interpolation) for penalty in game.penalties]
    count = len(game.members) if rows is None else len(rows)
    leaves = {id(images): _of_each(images, count).requires_grad_() for images in points}
    real, fake, *points = (leaves.get(id(images), images) for images in (real, fake, *points))
    between = [images for images in points if images is not real and images is not fake]
    inputs = [_augmented(game, batch, x, draws) for draws, x in ((0, real), (1, fake))]
    inputs += [_augmented(game, batch, x, 0) for x in between]
    logits = game.discriminators(*inputs, labels=batch.labels, **_only(rows))
    on_real, on_fake, *_ = logits.split(len(batch.z), dim=1)
    objective = game.objective
    if isinstance(objective, JointObjective):
        on_real, on_fake = game.all_gather_discriminators(torch.stack([on_real, on_fake]))
        terms = dict(objective.joint_discriminator(on_real, on_fake, game.mean_over_images))
    else:
        terms = _per_discriminator(
            game,
            lambda n, k: objective.discriminator(on_real[n], on_fake[n], k),
            None if rows is None else [game.members[row] for row in rows],
        )
    return terms, _penalties(game, logits, points)


def _penalties(game: Game, logits: Tensor, points: Sequence[Tensor]) -> Losses:
    """Return every penalty's value [n, B] from logits [n, images] that depend on its points.

    Exact per image if each logit depends on its own image alone (no batch norm).
    """
    if not points:
        return {}
    # A discriminator's logits depend on its own points alone, so the sum separates them.
    gradients = torch.autograd.grad(logits.sum(), points, create_graph=True)
    values: Losses = {}
    for penalty, gradient in zip(game.penalties, gradients, strict=True):
        of_each = gradient if gradient.dim() == 5 else gradient[None]
        values[penalty.name] = torch.stack([penalty.value(own) for own in of_each])
    return values


def _of_each(images: Tensor, count: int) -> Tensor:
    """Return images [B, C, H, W] as [count, B, C, H, W], so that each discriminator has its own
    gradient with respect to them, and one backward pass gives all of these."""
    if images.dim() == 5 or count == 1:
        return images
    return torch.stack([images] * count)


def of_all_discriminators(game: Game, terms: Losses, values: Losses) -> tuple[Losses, Losses]:
    """Return terms [N, B] and penalties [N, B] of all ranks' discriminators, detached."""
    joint = isinstance(game.objective, JointObjective)
    columns = [*values.values()] if joint else [*terms.values(), *values.values()]
    if columns:
        columns = [*game.all_gather_discriminators(torch.stack(columns).detach())]
    if joint:
        columns = [*(term.detach() for term in terms.values()), *columns]
    return dict(zip(terms, columns, strict=False)), dict(
        zip(values, columns[len(terms) :], strict=True)
    )


# The generator's losses


def generator_losses(
    game: Game, batch: Batch, fake: Tensor | None, faced: Faced = None
) -> tuple[Losses, Losses]:
    """Return the terms of g_k [N, B] of a micro-batch, and the logits [N, B] by that name.

    Only the discriminators that the generator has `faced` are computed; the rows of the others are
    zero.
    """
    fake = game.generator(batch.z, batch.labels) if fake is None else fake
    objective, real = game.objective, None
    logits = _frozen_logits(game, batch, fake, 3, faced)
    if objective.pairs:
        with torch.no_grad():
            real = _frozen_logits(game, batch, batch.real, 2, faced)
    gather = game.all_gather_discriminators
    if isinstance(objective, JointObjective):
        logits, real = gather(logits), None if real is None else gather(real)
        terms = dict(objective.joint_generator(logits, real, game.mean_over_images))
        return terms, {"logits": logits}
    own = _per_discriminator(
        game,
        lambda n, k: objective.generator(logits[n], None if real is None else real[n], k),
        faced,
    )
    if faced is not None:
        return {name: placed(game, term, faced) for name, term in own.items()}, {}
    columns = [*own.values(), *([logits] if game.aggregation.feedback else [])]
    rows = gather(torch.stack(columns))
    terms = dict(zip(own, rows, strict=False))
    return terms, {"logits": rows[-1]} if game.aggregation.feedback else {}


def with_graph(game: Game, batch: Batch, g: Tensor, faced: Faced = None) -> Iterator[Tensor]:
    """Yield the losses [N, B] of each micro-batch with the graph that leads to the generator.

    `g` [N, B] has it if there is one micro-batch only.
    """
    if game.accumulate == 1:
        yield g
        return
    for part in micro_batches(game, batch):
        yield total(generator_losses(game, part, None, faced)[0])


def gradient_of_each(game: Game, batch: Batch, g: Tensor) -> Tensor:
    """Return the generator's gradients [N, parameters] of E g_k over all images of all ranks."""
    gradients: list[Tensor] = []
    for part in with_graph(game, batch, g):
        rows = [
            torch.autograd.grad(game.expectation(g_k), _parameters(game), retain_graph=True)
            for g_k in part
        ]
        gradients.append(torch.stack([torch.cat([x.flatten() for x in row]) for row in rows]))
    return game.mean_over_ranks(torch.stack(gradients).sum(dim=0))


def set_gradient(game: Game, gradient: Tensor) -> None:
    """Set the gradient [parameters] of the generator."""
    parameters = _parameters(game)
    for parameter, part in zip(
        parameters, gradient.split([p.numel() for p in parameters]), strict=True
    ):
        # Fused optimizers require gradients that are laid out in memory like the parameters.
        parameter.grad = torch.empty_like(parameter).copy_(part.view_as(parameter))


def _parameters(game: Game) -> list[Tensor]:
    return [p for group in game.optimizer_g.param_groups for p in group["params"]]


@torch.no_grad()
def mean_probability(game: Game, batch: Batch) -> Tensor:
    """Return E D_k(G(z)) [N] over all images, where D_k is the sigmoid of the logit."""
    parts = [
        _frozen_logits(game, part, game.generator(part.z, part.labels), 3)
        for part in batch.split(game.accumulate)
    ]
    logits = game.all_gather_discriminators(torch.cat(parts, dim=1))
    return game.mean_over_images(logits.sigmoid())


# Shared by both steps


def micro_batches(game: Game, batch: Batch) -> Iterator[Batch]:
    """Yield the micro-batches; gradients are reduced over ranks with those of the last one."""
    *first, last = batch.split(game.accumulate)
    for part in first:
        with game.no_sync():
            yield part
    yield last


def _augmented(game: Game, batch: Batch, images: Tensor, draws: int) -> Tensor:
    numbers = None if batch.augmentation is None else batch.augmentation[draws]
    chosen = None if batch.augmented is None else batch.augmented[draws]
    if images.dim() == 5:
        return torch.stack([augment(game.augmentations, own, numbers, chosen) for own in images])
    return augment(game.augmentations, images, numbers, chosen)


def _per_discriminator(
    game: Game, terms: Callable[[int | slice, int], Terms], faced: Faced = None
) -> Losses:
    """Return the terms [n, B] of this rank's discriminators, or of `faced`, from
    ``terms(row, k)``."""
    if not game.objective.asymmetric:
        return dict(terms(slice(None), game.members.start))
    numbers = game.members if faced is None else faced
    assert not isinstance(numbers, Tensor), "only symmetric objectives choose on the device"
    rows = [terms(row, k) for row, k in enumerate(numbers)]
    return {name: torch.stack([each[name] for each in rows]) for name in rows[0]}


def total(terms: Terms) -> Tensor:
    """Return the sum of all terms."""
    return torch.stack([*terms.values()]).sum(dim=0)


def joined(parts: Iterable[Losses], dim: int = 1) -> Losses:
    """Return the losses [N, B] of a batch from those of its micro-batches, or, along the other
    dimension, of all discriminators from those of each."""
    first, *others = parts
    if not others:
        return first
    return {name: torch.cat([first[name], *(x[name] for x in others)], dim) for name in first}


def detached(losses: Losses) -> Losses:
    """Return the losses without the graphs that lead to the networks."""
    return {name: loss.detach() for name, loss in losses.items()}


def over_all_images(game: Game, score: Tensor) -> Tensor:
    """Return the mean scores [N, 1] over all images and ranks, or [N, B] for a per-sample rule.

    All ranks wait for each other here.
    """
    return score if game.aggregation.per_sample else game.mean_over_images(score)[:, None]


def _frozen_logits(
    game: Game, batch: Batch, images: Tensor, draws: int, faced: Faced = None
) -> Tensor:
    """Return the logits [n, B] of images, augmented by `draws`; parameters get no gradient."""
    with frozen(game.discriminators) as discriminators:
        seen = _augmented(game, batch, images, draws)
        logits: Tensor = discriminators(seen, labels=batch.labels, **_only(faced))
    return logits


def _only(faced: Faced) -> dict[str, Sequence[int] | Tensor]:
    return {} if faced is None else {"only": faced}


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
