"""The order in which images are seen: a pure function of seed and position.

Position p of the endless stream of images is image order[p mod M] of epoch p div M. Every image is
seen exactly once per epoch, all batches have the same size, and a batch may span two epochs (after
EDM's InfiniteSampler, Karras et al. 2022).

With disjoint shards of the data (MD-GAN) every shard has a stream of its own, and every
discriminator reads the stream of the shard that it is assigned to.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from d3gan.rng import Stream, permutation, uniform


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, length: int) -> Tensor:
    return permutation(seed, Stream.ORDER, epoch, length)


def batch_indices(seed: int, positions: Tensor, length: int) -> Tensor:
    """Return the images int64 [B] at `positions` int64 [B], increasing, of the stream."""
    return _read(positions, length, lambda epoch: _order(seed, epoch, length))


def _read(positions: Tensor, length: int, order: Callable[[int], Tensor]) -> Tensor:
    """Return the entries [B] at `positions` of the concatenation of ``order(epoch)`` [length]."""
    epochs = positions // length
    entries = torch.empty_like(positions)
    for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
        here = epochs == epoch
        entries[here] = order(epoch)[positions[here] % length]
    return entries


@lru_cache(maxsize=1)
def data_shards(seed: int, count: int, length: int) -> tuple[Tensor, ...]:
    """Return `count` disjoint random parts of the images 0..length-1, int64; they cover all.

    Their sizes differ by at most one (Hardy, Le Merrer and Sericola 2019, "MD-GAN:
    multi-discriminator generative adversarial networks for distributed datasets", section III).
    """
    order = permutation(seed, Stream.SHARD, 0, length)
    return tuple(order[part.start : part.stop] for part in _parts(length, count))


def _parts(length: int, count: int) -> list[range]:
    return [shard(length, part, count) for part in range(count)]


@lru_cache(maxsize=128)
def _shard_order(seed: int, number: int, count: int, epoch: int, length: int) -> Tensor:
    images = data_shards(seed, count, length)[number]
    return images[permutation(seed, Stream.SHARD_ORDER, epoch * count + number, len(images))]


def shard_indices(seed: int, positions: Tensor, number: int, count: int, length: int) -> Tensor:
    """Return the images int64 [B] at `positions`, increasing, of the stream of one shard.

    Every image of shard `number` (of `count`) is seen once in as many positions as it has images.
    """
    size = len(_parts(length, count)[number])
    return _read(positions, size, lambda epoch: _shard_order(seed, number, count, epoch, length))


def assigned_shards(seed: int, swaps: int, count: int) -> list[int]:
    """Return the shard of each of `count` discriminators after `swaps` swaps: a permutation.

    Discriminator k starts with shard k. In a swap each moves to the next shard of a random cyclic
    order, so none keeps its shard, and after `count` swaps each has seen all of the data. MD-GAN
    (algorithm 1) sends each discriminator to a random other worker.
    """
    cycle = permutation(seed, Stream.SWAP, 0, count)
    assigned = torch.empty_like(cycle)
    assigned[cycle] = cycle.roll(-swaps)
    return assigned.tolist()


def flips(seed: int, positions: Tensor) -> Tensor:
    """Return whether to mirror the images at `positions` [B]: bool [B], with probability 1/2."""
    return uniform(seed, Stream.FLIP, 0, positions, 1)[:, 0] < 0.5


def shard(batch_size: int, rank: int, world_size: int) -> range:
    """Return this rank's contiguous part of a batch; the parts' sizes differ by at most one."""
    return range(batch_size * rank // world_size, batch_size * (rank + 1) // world_size)
