"""Random numbers as a pure function of (seed, stream, step, index).

There is no generator state to save. A run resumes bit for bit, and image i of step s gets the same
noise on any number of processes, in any batch size, and, up to the rounding of the logarithm and
the cosine, on any device. `step` may be a tensor on the device, so that a step can be captured once
and replayed.

The bits are those of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators"), started at a key hashed from seed, stream and step. The normal distribution is
obtained by the Box-Muller transform.
"""

import enum
import math

import torch
from torch import Tensor


class Stream(enum.IntEnum):
    """Purpose of the random numbers. Saved runs depend on the values: never renumber them."""

    NOISE = 1
    ORDER = 2
    FLIP = 3
    AGGREGATION = 4
    GENERATOR_WEIGHTS = 5
    DISCRIMINATOR_WEIGHTS = 6
    SAMPLE = 7
    SUBSET = 8
    STACK = 9
    EVALUATION = 10
    EVALUATION_SUBSET = 11
    HELD_OUT = 12
    CLASSIFIER = 13
    AUGMENTATION = 14
    INTERPOLATION = 15
    LABELS = 16
    VIEW = 17
    AUGMENTATION_CHOICE = 18
    SHARD = 19
    SHARD_ORDER = 20
    SWAP = 21


# Constants of SplitMix64 as signed 64-bit numbers; int64 arithmetic wraps around as uint64 does.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9 - 2**64
_MULTIPLIER_2 = 0x94D049BB133111EB - 2**64


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Shift without keeping the sign, unlike torch's shift."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift_right(x, 30)) * _MULTIPLIER_1
    x = (x ^ _shift_right(x, 27)) * _MULTIPLIER_2
    return x ^ _shift_right(x, 31)


def random_bits(seed: int, stream: Stream, step: int | Tensor, index: Tensor, count: int) -> Tensor:
    """Return `count` random 64-bit numbers per index: int64 [B, count] for `index` int64 [B]."""
    key = _mix(index.new_full((), seed) + _GOLDEN)
    key = _mix(key + index.new_full((), int(stream)) * _GOLDEN)
    key = _mix(key + torch.as_tensor(step, device=index.device) * _GOLDEN)
    counter = index[:, None] * count + torch.arange(1, count + 1, device=index.device)
    return _mix(key + counter * _GOLDEN)


def uniform(seed: int, stream: Stream, step: int | Tensor, index: Tensor, count: int) -> Tensor:
    """Return uniform numbers in (0, 1), float64 [B, count]: odd multiples of 2^-54."""
    numbers = _shift_right(random_bits(seed, stream, step, index, count), 11)
    return (numbers.double() + 0.5) * 2.0**-53


def normal(seed: int, stream: Stream, step: int | Tensor, index: Tensor, count: int) -> Tensor:
    """Return standard normal numbers, float64 [B, count], by Box and Muller (1958)."""
    pairs = (count + 1) // 2
    u, v = uniform(seed, stream, step, index, 2 * pairs).split(pairs, dim=1)
    radius, angle = (-2.0 * u.log()).sqrt(), 2.0 * math.pi * v
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


def permutation(seed: int, stream: Stream, step: int, length: int) -> Tensor:
    """Return a uniformly random permutation of 0..length-1, int64 [length], on the CPU."""
    keys = random_bits(seed, stream, step, torch.arange(length), 1)[:, 0]
    return torch.argsort(keys, stable=True)
