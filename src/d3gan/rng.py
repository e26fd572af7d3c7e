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


def _wrapped(x: int) -> int:
    """Return the signed 64-bit number that `x` wraps around to."""
    return (x + 2**63) % 2**64 - 2**63


def _mix_on_host(x: int) -> int:
    """Return what `_mix` returns, of a Python integer."""
    x %= 2**64
    x = (x ^ (x >> 30)) * _MULTIPLIER_1 % 2**64
    x = (x ^ (x >> 27)) * _MULTIPLIER_2 % 2**64
    return _wrapped(x ^ (x >> 31))


def random_bits(seed: int, stream: Stream, step: int | Tensor, index: Tensor, count: int) -> Tensor:
    """Return `count` random 64-bit numbers per index: int64 [B, count] for `index` int64 [B].

    For a tensor `step` [...] they are [..., B, count]. Whatever is known on the host is hashed
    there, because moving a number to a CUDA device would wait for the device.
    """
    start = _mix_on_host(_mix_on_host(seed + _GOLDEN) + int(stream) * _GOLDEN)
    counter = index[:, None] * count + torch.arange(1, count + 1, device=index.device)
    if isinstance(step, Tensor):
        key = _mix(step * _GOLDEN + start)
        return _mix(key[..., None, None] + counter * _GOLDEN)
    return _mix(counter * _GOLDEN + _mix_on_host(start + step * _GOLDEN))


def uniform(seed: int, stream: Stream, step: int | Tensor, index: Tensor, count: int) -> Tensor:
    """Return uniform numbers in (0, 1), float64 [B, count]: odd multiples of 2^-54.

    As for `random_bits`, the shape of a tensor `step` comes first.
    """
    numbers = _shift_right(random_bits(seed, stream, step, index, count), 11)
    return (numbers.double() + 0.5) * 2.0**-53


def normal(seed: int, stream: Stream, step: int | Tensor, index: Tensor, count: int) -> Tensor:
    """Return standard normal numbers, float64 [B, count], by Box and Muller (1958).

    As for `random_bits`, the shape of a tensor `step` comes first.
    """
    pairs = (count + 1) // 2
    u, v = uniform(seed, stream, step, index, 2 * pairs).split(pairs, dim=-1)
    radius, angle = (-2.0 * u.log()).sqrt(), 2.0 * math.pi * v
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=-1)[..., :count]


def permutation(seed: int, stream: Stream, step: int, length: int) -> Tensor:
    """Return a uniformly random permutation of 0..length-1, int64 [length], on the CPU."""
    keys = random_bits(seed, stream, step, torch.arange(length), 1)[:, 0]
    return torch.argsort(keys, stable=True)
