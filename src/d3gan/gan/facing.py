"""Which discriminators the generator faces in a step, where that is known before its losses are.

The others have the weight zero, so their part of the generator's step need not be computed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from d3gan.gan.game import Game, Losses
from d3gan.gan.objectives import JointObjective

Faced = Sequence[int] | Tensor | None
"""Numbers of the discriminators whose weight is not zero, in increasing order; on other devices
than CPUs the number int64 [1] of a single one, on the device. None: not known before their losses
are, or all are computed."""


def weights_before_losses(
    game: Game, score: Tensor | None, uniform: Tensor, like: Tensor
) -> tuple[Tensor | None, Faced]:
    """Return the generator's weights [N, 1], and which discriminators it faces.

    Both are None where they depend on the generator's losses. `score` is the rule's early one.
    """
    rule, count = game.aggregation, len(uniform)
    if count == 1 or rule.gradients or (score is None and rule.needs_scores):
        return None, None
    if score is None:
        score = like.new_zeros(count, 1)
    w = rule.adaptive_weights(score, uniform.to(score), game.aggregation_state)
    if not _may_skip(game, w):
        return w, None
    if w.device.type == "cpu":
        return w, w.any(dim=1).nonzero()[:, 0].tolist()
    # The host must not wait for the device to say which discriminator was chosen.
    single = rule.selects and game.alike and not game.objective.asymmetric
    return w, w.argmax(dim=0) if single else None


def _may_skip(game: Game, w: Tensor) -> bool:
    """Return whether leaving out discriminators changes nothing else.

    That is so if this rank has all of them, no forward pass changes a buffer, and losses and
    weights do not depend on each other's images.
    """
    joint = isinstance(game.objective, JointObjective)
    buffered = next(game.discriminators.buffers(), None) is not None
    return not joint and not buffered and len(game.members) == len(w) and w.shape[1] == 1


def placed(game: Game, rows: Tensor, faced: Sequence[int] | Tensor) -> Tensor:
    """Return rows [n, B] as those numbered `faced` of [N, B]; the others are zero."""
    if len(faced) == len(game.members):
        return rows
    whole = rows.new_zeros(len(game.members), rows.shape[1])
    return whole.index_copy(0, _index(faced, rows.device), rows)


def unknown_where_not_faced(terms: Losses, faced: Faced) -> Losses:
    """Return means [N] of terms, not a number for discriminators that were not computed."""
    if faced is None:
        return terms
    (first, *_) = terms.values()
    known = torch.zeros_like(first).index_fill(0, _index(faced, first.device), 1.0)
    return {name: term.where(known > 0, torch.nan) for name, term in terms.items()}


def _index(faced: Sequence[int] | Tensor, device: torch.device) -> Tensor:
    return faced if isinstance(faced, Tensor) else torch.tensor(faced, device=device)
