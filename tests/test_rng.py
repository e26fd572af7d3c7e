import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d3gan.rng import Stream, normal, permutation, random_bits, uniform

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(x: int) -> int:
    """SplitMix64's finaliser on Python integers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def slow_bits(seed: int, stream: int, step: int, index: int, count: int) -> list[int]:
    key = mix((seed + GOLDEN) & MASK)
    key = mix((key + stream * GOLDEN) & MASK)
    key = mix((key + step * GOLDEN) & MASK)
    return [mix((key + (index * count + k) * GOLDEN) & MASK) for k in range(1, count + 1)]


@given(
    seed=st.integers(0, 2**63 - 1),
    step=st.integers(0, 10**9),
    index=st.integers(0, 10**9),
    count=st.integers(1, 5),
)
def test_bits_equal_those_of_a_python_implementation(
    seed: int, step: int, index: int, count: int
) -> None:
    fast = random_bits(seed, Stream.NOISE, step, torch.tensor([index]), count)
    assert [bits & MASK for bits in fast[0].tolist()] == slow_bits(seed, 1, step, index, count)


def test_finaliser_reproduces_the_published_sequence() -> None:
    # First outputs of SplitMix64 seeded with 1234567, from its reference implementation.
    outputs = [mix((1234567 + k * GOLDEN) & MASK) for k in range(1, 4)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_numbers_depend_only_on_their_coordinates() -> None:
    all_numbers = normal(3, Stream.NOISE, 7, torch.arange(10), 5)
    part = normal(3, Stream.NOISE, 7, torch.tensor([4, 9]), 5)
    assert torch.equal(all_numbers[[4, 9]], part)
    as_tensor = normal(3, Stream.NOISE, torch.tensor(7), torch.arange(10), 5)
    assert torch.equal(all_numbers, as_tensor)


def test_numbers_of_several_steps_at_once() -> None:
    steps = torch.tensor([[0, 7], [8, 10**9]])
    together = normal(2**63 - 1, Stream.NOISE, steps, torch.arange(3, 13), 5)
    assert together.shape == (2, 2, 10, 5)
    for row, numbers in zip(steps.tolist(), together, strict=True):
        for step, of_step in zip(row, numbers, strict=True):
            alone = normal(2**63 - 1, Stream.NOISE, step, torch.arange(3, 13), 5)
            assert torch.equal(of_step, alone)


@pytest.mark.parametrize("change", ["seed", "stream", "step"])
def test_numbers_depend_on_every_coordinate(change: str) -> None:
    coordinates = {"seed": 3, "stream": Stream.NOISE, "step": 7}
    other = coordinates | {change: Stream.FLIP if change == "stream" else 4}
    draws = [
        normal(c["seed"], Stream(c["stream"]), c["step"], torch.arange(2000), 1)[:, 0]
        for c in (coordinates, other)
    ]
    correlation = torch.corrcoef(torch.stack(draws))[0, 1].abs()
    assert correlation < 5 / math.sqrt(2000)


def test_normal_has_the_right_moments() -> None:
    z = normal(0, Stream.NOISE, 0, torch.arange(50_000), 4).flatten()
    error = 5 / math.sqrt(len(z))
    assert abs(float(z.mean())) < error
    assert abs(float(z.square().mean()) - 1) < error * math.sqrt(2)
    assert abs(float(z.pow(4).mean()) - 3) < error * math.sqrt(96)
    neighbours = torch.corrcoef(z.view(-1, 4).T) - torch.eye(4)
    assert neighbours.abs().max() < 5 / math.sqrt(50_000)


def test_uniform_is_open_and_uniform() -> None:
    u = uniform(0, Stream.FLIP, 0, torch.arange(100_000), 1)
    assert float(u.min()) > 0
    assert float(u.max()) < 1
    counts = torch.histc(u.float(), bins=10, min=0, max=1)
    chi_squared = float(((counts - 10_000) ** 2 / 10_000).sum())
    assert chi_squared < 33.7  # 9 degrees of freedom, p = 1e-4


def test_permutation_is_complete_and_differs_by_epoch() -> None:
    first, second = (permutation(0, Stream.ORDER, epoch, 1000) for epoch in (0, 1))
    assert sorted(first.tolist()) == list(range(1000))
    assert sorted(second.tolist()) == list(range(1000))
    assert int((first == second).sum()) < 10
