"""Checks that the real images suit the game."""

from d3gan.errors import UserError
from d3gan.gan.objectives import JointObjective, Objective
from d3gan.schema import Config


def check_data(config: Config, objective: Objective) -> None:
    """Raise UserError if the keys of ``data`` do not fit together, or do not fit the game.

    `objective` is what ``gan.objective`` names.
    """
    data, gan = config.data, config.gan
    if data.source == "stacked-mnist" and data.channels != 3:
        raise UserError("data.channels = 1: stacked-mnist needs 3")
    if data.swap_every_epochs and not data.sharded:
        raise UserError(
            f"data.swap_every_epochs = {data.swap_every_epochs:g}: there are no shards to swap; "
            "set data.sharded = true"
        )
    if not data.sharded:
        return
    if gan.discriminators == 1:
        raise UserError(
            "data.sharded = true: the images are divided among several discriminators, and "
            "gan.discriminators = 1; use two or more, or set data.sharded = false"
        )
    if config.model.conditional:
        raise UserError(
            "data.sharded = true: real and generated images of a conditional model share their "
            "labels, but every shard has labels of its own; set model.conditional = false"
        )
    if isinstance(objective, JointObjective):
        raise UserError(
            f"data.sharded = true: gan.objective = {gan.objective!r} compares the discriminators "
            "on the same images; choose another objective, or data.sharded = false"
        )
