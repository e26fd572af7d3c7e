"""Which discriminators the generator faces in a step, where that is known before its losses are.

The others have the weight zero, so their part of the generator's step need not be computed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from d3gan.gan.game import Game, Losses
from d3gan.gan.objectives import JointObjective

Faced = Sequence[int] | None
"""Numbers of the discriminators whose weight is not zero, in increasing order; None: not known
before their losses are, or not used."""


def weights_before_losses(
    game: Game, score: Tensor | None, uniform: Tensor, like: Tensor
) -> tuple[Tensor | None, Faced]:
    """Return the generator's weights [N, 1], and which discriminators it faces.

    These are None where they depend on the generator's losses. `score` is the rule's early one.
    The step of the discriminators that the generator does not face is skipped only where that
    changes nothing else: if this rank has all discriminators, and no forward pass changes a buffer.
    """
    rule, count = game.aggregation, len(uniform)
    if count == 1 or rule.gradients or (score is None and rule.needs_scores):
        return None, None
    if score is None:
        score = like.new_zeros(count, 1)
    w = rule.adaptive_weights(score, uniform.to(score), game.aggregation_state)
    unskippable = (
        isinstance(game.objective, JointObjective)
        or len(game.members) < count
        or next(game.discriminators.buffers(), None) is not None
        or w.device.type != "cpu"  # which would wait for the device
        or w.shape[1] != 1
    )
    return w, None if unskippable else w.any(dim=1).nonzero()[:, 0].tolist()


def placed(game: Game, rows: Tensor, faced: Sequence[int]) -> Tensor:
    """Return rows [n, B] as those numbered `faced` of [N, B]; the others are zero."""
    if len(faced) == len(game.members):
        return rows
    placed = rows.new_zeros(len(game.members), rows.shape[1])
    return placed.index_copy(0, torch.tensor(faced, device=rows.device), rows)


def unknown_where_not_faced(terms: Losses, faced: Faced) -> Losses:
    """Return means [N] of terms, not a number for discriminators that were not computed."""
    if faced is None:
        return terms
    known = torch.zeros_like(next(iter(terms.values())), dtype=torch.bool)
    known[list(faced)] = True
    return {name: term.where(known, torch.nan) for name, term in terms.items()}
