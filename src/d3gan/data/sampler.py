"""The order in which images are seen: a pure function of seed and position.

Position p of the endless stream of images is image order[p mod M] of epoch p div M. Every image is
seen exactly once per epoch, all batches have the same size, and a batch may span two epochs (after
EDM's InfiniteSampler, Karras et al. 2022).
"""

from functools import lru_cache

import torch
from torch import Tensor

from d3gan.rng import Stream, permutation, uniform


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, length: int) -> Tensor:
    return permutation(seed, Stream.ORDER, epoch, length)


def batch_indices(seed: int, positions: Tensor, length: int) -> Tensor:
    """Return the images int64 [B] at `positions` int64 [B], increasing, of the stream."""
    epochs = positions // length
    indices = torch.empty_like(positions)
    for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
        here = epochs == epoch
        indices[here] = _order(seed, epoch, length)[positions[here] % length]
    return indices


def flips(seed: int, positions: Tensor) -> Tensor:
    """Return whether to mirror the images at `positions` [B]: bool [B], with probability 1/2."""
    return uniform(seed, Stream.FLIP, 0, positions, 1)[:, 0] < 0.5


def shard(batch_size: int, rank: int, world_size: int) -> range:
    """Return this rank's contiguous part of a batch; the parts' sizes differ by at most one."""
    return range(batch_size * rank // world_size, batch_size * (rank + 1) // world_size)
