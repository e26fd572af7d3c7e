"""Schedules: closed forms, warm-up, holds, and what every entry promises."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d3gan.errors import UserError
from d3gan.gan.schedules import SCHEDULES

SHARES = st.floats(0, 1)
IMAGES = st.integers(1, 10**9)


def factors(text: str, *images: int, total: int = 1000) -> list[float]:
    schedule = SCHEDULES.build(text)
    return [schedule.factor(seen, total) for seen in images]


def test_constant() -> None:
    assert factors("constant", 0, 500, 10**9) == [1, 1, 1]


def test_linear() -> None:
    text = "linear(start=2, end=0.5, images=300)"
    assert factors(text, 0, 100, 200, 300, 301, 10**9) == pytest.approx([2, 1.5, 1, 0.5, 0.5, 0.5])


def test_cosine_with_a_hold_as_r3gan() -> None:
    seen = (0, 5_000_000, 10_000_000, 20_000_000, 250_000_000)
    found = factors("cosine(end=0.25, images=20e6)", *seen, total=250_000_000)
    quarter = 0.25 + 0.75 * (1 + math.cos(math.pi / 4)) / 2
    assert found == pytest.approx([1, quarter, 0.625, 0.25, 0.25], rel=1e-14)
    assert found[-1] == 0.25, "the hold is exact"


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_no_images_means_the_whole_run(name: str) -> None:
    assert factors(name, 0, 500, 1000, 2000) == pytest.approx([1, 0.5, 0, 0])
    seen = (100, 550, 1000, 1100)
    assert factors(f"{name}(warmup=100)", *seen) == pytest.approx([1, 0.5, 0, 0])
    assert factors(f"{name}(end=0.5, warmup=1000)", 999, 1000) == pytest.approx([0.4995, 0.5])


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_transition_begins_after_the_warm_up(name: str) -> None:
    text = f"{name}(start=0.8, end=0.2, images=400, warmup=200)"
    seen = (0, 50, 100, 200, 400, 600, 900)
    expected = [0, 0.2, 0.4, 0.8, 0.5, 0.2, 0.2]
    assert factors(text, *seen) == pytest.approx(expected)
    assert factors("constant(warmup=200)", 0, 50, 200, 300) == [0, 0.25, 1, 1]


@given(start=st.floats(0, 0.99), share=SHARES)
def test_linear_decay_is_constant_and_then_falls_to_zero(start: float, share: float) -> None:
    seen, total = int(share * 10**6), 10**6
    expected = 1 if seen <= start * total else (total - seen) / (total * (1 - start))
    assert factors(f"linear_decay(start={start!r})", seen, total=total) == pytest.approx(
        [expected], abs=1e-9
    )


def test_linear_decay_by_images_equals_linear_decay_by_steps() -> None:
    schedule = SCHEDULES.build("linear_decay")
    for step in range(977):
        assert schedule.factor(step * 96, 977 * 96) == min(1.0, max(0.0, (1 - step / 977) / 0.5))


TEXTS = (
    *SCHEDULES,
    "linear(images=50, warmup=20)",
    "linear(start=0, end=3, warmup=7)",
    "cosine(start=0.25, end=1.75, images=80)",
    "constant(warmup=30)",
    "linear(start=1, end=1, warmup=5)",
)


@pytest.mark.parametrize("text", TEXTS)
@given(seen=IMAGES, total=IMAGES)
def test_every_schedule_stays_within_its_bounds(text: str, seen: int, total: int) -> None:
    schedule = SCHEDULES.build(text)
    assert 0 <= schedule.factor(seen, total) <= schedule.largest * (1 + 1e-15)


@pytest.mark.parametrize("text", TEXTS)
def test_every_schedule_says_whether_it_depends_on_the_length(text: str) -> None:
    schedule = SCHEDULES.build(text)
    short, long = ([schedule.factor(seen, total) for seen in range(90)] for total in (100, 1000))
    assert schedule.depends_on_length == (short != long)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("linear(images=-1)", "linear: images must be a finite number, at least 0, not -1"),
        ("cosine(end=-0.1)", r"cosine: end must be a finite number, at least 0, not -0\.1"),
        ("constant(warmup=1e999)", "constant: warmup must be a finite number"),
        ("linear(start='1')", "start must be a number"),
        ("cosine(final=1)", "cosine has no parameter 'final'"),
        ("linear_decay(start=1)", "start must be at least 0 and below 1, not 1"),
    ],
)
def test_bad_parameters_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SCHEDULES.build(text)


def test_a_factor_of_a_base_value_gives_both_ends() -> None:
    """R3GAN: beta2 0.9 to 0.99, and an EMA half-life of 0 to 5 million images."""
    begin, end = factors("cosine(end=1.1, images=20e6)", 0, 20_000_000)
    assert (0.9 * begin, 0.9 * end) == (0.9, pytest.approx(0.99, rel=1e-15))
    ends: list[Any] = factors("cosine(start=0, end=1, images=20e6)", 0, 20_000_000)
    assert ends == [0, 1]
