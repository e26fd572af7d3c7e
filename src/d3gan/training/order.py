"""Which real images a batch holds, as a function of the configuration and the batch's number."""

import math

import torch
from torch import Tensor

from d3gan.config import Config
from d3gan.data.loader import Order
from d3gan.data.sampler import assigned_shards, batch_indices, flips, shard_indices
from d3gan.errors import UserError


def make_order(config: Config, part: range, images: int, members: range) -> Order:
    """Return the order of the positions `part` of each batch, for a data set of `images` images.

    With ``data.sharded`` a batch has len(part) images for each of the discriminators `members`, one
    discriminator after the other (`of_each_member`). Raises UserError if a shard would be empty.
    """
    if config.data.sharded:
        return _sharded_order(config, part, images, members)

    def order(batch: int) -> tuple[Tensor, Tensor | None]:
        positions = batch * config.train.batch_size + torch.arange(part.start, part.stop)
        indices = batch_indices(config.seed, positions, images)
        return indices, flips(config.seed, positions) if config.data.flip else None

    return order


def of_each_member(config: Config, images: Tensor, members: range) -> Tensor:
    """Return `images` as `Batch.real`: [n, B, C, H, W] with ``data.sharded``, else unchanged."""
    return images.unflatten(0, (len(members), -1)) if config.data.sharded else images


def _sharded_order(config: Config, part: range, images: int, members: range) -> Order:
    """MD-GAN: discriminator k sees a shard of its own, another one after each swap.

    Hardy, Le Merrer and Sericola 2019, "MD-GAN: multi-discriminator generative adversarial networks
    for distributed datasets", algorithm 1. A swap of the discriminators between the workers that
    hold the data is a swap of the shards between the discriminators.
    """
    seed, count, size = config.seed, config.gan.discriminators, config.train.batch_size
    if images < count:
        raise UserError(
            f"data.sharded = true: {images} images cannot be divided among {count} discriminators"
        )

    def order(batch: int) -> tuple[Tensor, Tensor | None]:
        assigned = assigned_shards(seed, _swaps(config, batch, images), count)
        positions = batch * size + torch.arange(part.start, part.stop)
        own = [assigned[k] for k in members]
        indices = [shard_indices(seed, positions, number, count, images) for number in own]
        mirrored = [flips(seed, positions * count + number) for number in own]
        return torch.cat(indices), torch.cat(mirrored) if config.data.flip else None

    return order


def _swaps(config: Config, batch: int, images: int) -> int:
    """Return the number of swaps before a batch: all of its images are from one assignment."""
    every = config.data.swap_every_epochs * images
    return math.floor(batch * config.train.batch_size / every) if every else 0
