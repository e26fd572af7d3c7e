"""Statistics of a few runs, for numbers whose results are known."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d3gan.study.statistics import (
    Interval,
    Pair,
    first_reached,
    mean_interval,
    median_time,
    paired_speedup,
    selection_entropy,
    t_quantile,
    value_at,
)

numbers = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.7062), (2, 4.3027), (4, 2.7764), (9, 2.2622), (99, 1.9842)]
)
def test_quantiles_of_t_agree_with_published_tables(degrees: int, quantile: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(quantile, abs=5e-5)


def test_a_mean_computed_by_hand() -> None:
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2
    assert interval.high == pytest.approx(2 + 4.302653 / math.sqrt(3))
    assert interval.low == pytest.approx(2 - 4.302653 / math.sqrt(3))


def test_one_seed_has_no_interval_and_no_seed_has_no_mean() -> None:
    assert mean_interval([5.0]) == Interval(5.0, None, None, 1)
    assert mean_interval([]) == Interval(None, None, None, 0)


@pytest.mark.parametrize("seeds", [2, 5, 20])
def test_intervals_cover_the_mean_with_their_confidence(seeds: int) -> None:
    samples = np.random.default_rng(seeds).normal(3.0, 2.0, (4000, seeds))
    intervals = [mean_interval(sample.tolist()) for sample in samples]
    covered = np.mean([i.low <= 3.0 <= i.high for i in intervals])  # type: ignore[operator]
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


def test_the_first_value_that_equals_or_passes_the_target_reaches_it() -> None:
    x, values = [1.0, 2.0, 3.0, 4.0], [9.0, 5.0, 7.0, 5.0]
    assert first_reached(x, values, 5.0, "lower") == 2
    assert first_reached(x, values, 6.0, "lower") == 2
    assert first_reached(x, values, 4.9, "lower") is None
    assert first_reached(x, values, 9.0, "higher") == 1
    assert first_reached([], [], 9.0, "higher") is None


def test_the_median_is_the_time_by_which_half_reached_the_target() -> None:
    def median(*times: float | None) -> float | None:
        return median_time(times, [100.0] * len(times)).median

    assert median(3.0, 1.0, 2.0) == 2
    assert median(4.0, 1.0, 2.0, 3.0) == 2
    assert median(None, 1.0, 2.0) == 2
    assert median(None, 1.0, None, 2.0) == 2
    assert median(None, 1.0, None) is None
    assert median() is None


def test_runs_that_never_reached_the_target_are_counted() -> None:
    time = median_time([None, 1.0, None], [10.0] * 3)
    assert (time.reached, time.seeds) == (1, 3)


def test_the_interval_of_a_median_needs_six_seeds() -> None:
    five = median_time([1.0, 2.0, 3.0, 4.0, 5.0], [9.0] * 5)
    assert (five.median, five.low, five.high) == (3.0, None, None)
    six = median_time([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [9.0] * 6)
    assert (six.median, six.low, six.high) == (3.0, 1.0, 6.0)
    ten = median_time([float(i) for i in range(1, 11)], [99.0] * 10)
    assert (ten.low, ten.high) == (2.0, 9.0)  # the tables' order statistics for n = 10


def test_the_interval_of_a_median_has_no_upper_end_if_too_few_reached_the_target() -> None:
    time = median_time([None, 2.0, 3.0, 4.0, 5.0, 6.0], [9.0] * 6)
    assert (time.median, time.low, time.high) == (4.0, 2.0, None)
    early = median_time([None, 2.0, 3.0, 4.0, 5.0, 6.0], [0.5, *[9.0] * 5])
    assert (early.median, early.low, early.high) == (4.0, 0.5, None)
    never = median_time([None] * 6, [math.inf] * 6)
    assert (never.median, never.low, never.high) == (None, None, None)


def test_the_interval_of_a_median_covers_the_median() -> None:
    """Times are exp(N(0, 1)), with median 1, and censored at 2."""
    times = np.exp(np.random.default_rng(1).normal(size=(4000, 9)))
    covered = 0
    for row in times:
        seen = median_time([t if t <= 2 else None for t in row.tolist()], [2.0] * 9)
        assert seen.low is not None
        covered += seen.low <= 1 <= (math.inf if seen.high is None else seen.high)
    exact = 1 - 2 * (1 + 9) / 2**9
    assert abs(covered / 4000 - exact) < 4 * math.sqrt(exact * (1 - exact) / 4000)


def test_a_speedup_of_exactly_two() -> None:
    speedup = paired_speedup([Pair(20.0, 10.0), Pair(2.0, 1.0), Pair(7.0, 3.5)])
    assert (speedup.mean, speedup.low, speedup.high) == pytest.approx((2, 2, 2))
    assert (speedup.pairs, speedup.censored) == (3, 0)


def test_a_speedup_computed_by_hand() -> None:
    """Ratios 1, 2, 4: logarithms 0, 1, 2 times log 2, with standard deviation log 2."""
    speedup = paired_speedup([Pair(1.0, 1.0), Pair(2.0, 1.0), Pair(4.0, 1.0)])
    half = 4.302653 / math.sqrt(3)
    assert speedup.mean == pytest.approx(2)
    assert speedup.low == pytest.approx(2 ** (1 - half))
    assert speedup.high == pytest.approx(2 ** (1 + half))


def test_equal_times_are_a_speedup_of_one() -> None:
    speedup = paired_speedup([Pair(3.0, 3.0), Pair(5.0, 5.0)])
    assert (speedup.mean, speedup.low, speedup.high) == (1, 1, 1)


def test_a_censored_pair_has_only_an_upper_bound() -> None:
    open_below = paired_speedup([Pair(1.0, 2.0), Pair(1.0, 4.0, censored=True)])
    known = paired_speedup([Pair(1.0, 2.0), Pair(1.0, 4.0)])
    assert (open_below.mean, open_below.high) == (known.mean, known.high)
    assert (open_below.low, open_below.censored, open_below.pairs) == (None, 1, 2)


def test_one_pair_has_no_interval_and_no_pair_has_no_mean() -> None:
    one = paired_speedup([Pair(3.0, 2.0)])
    assert (one.mean, one.low, one.high, one.pairs) == (pytest.approx(1.5), None, None, 1)
    none = paired_speedup([])
    assert (none.mean, none.low, none.high, none.pairs) == (None, None, None, 0)


def test_an_interval_beyond_the_range_of_floats_has_no_upper_end() -> None:
    wide = paired_speedup([Pair(1e-200, 1e200), Pair(1e200, 1e-200)])
    assert (wide.mean, wide.low, wide.high) == (1, 0, None)


def test_a_censored_speedup_is_an_upper_bound_with_its_confidence() -> None:
    """True ratios are exp(N(-0.2, 0.5)), and censored where the other took more than 1."""
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(2000):
        ratios = np.exp(rng.normal(-0.2, 0.5, 6))
        other = rng.uniform(0.2, 2.0, 6)
        pairs = [
            Pair(r * o, min(o, 1.0), censored=o > 1) for r, o in zip(ratios, other, strict=True)
        ]
        high = paired_speedup(pairs).high
        held += high is not None and high >= math.exp(-0.2)
    assert held / 2000 > 0.97


@pytest.mark.parametrize(
    ("shares", "bits"),
    [
        ([0.5, 0.5], 1),
        ([1.0, 0.0], 0),
        ([0.25] * 4, 2),
        ([3, 1], 0.811278),
    ],
)
def test_selection_entropy(shares: Sequence[float], bits: float) -> None:
    assert selection_entropy(shares) == pytest.approx(bits)


def test_a_curve_is_interpolated_and_not_extrapolated() -> None:
    x, values = [10.0, 20.0, 40.0], [4.0, 2.0, 0.0]
    assert [value_at(x, values, here) for here in (10, 15, 20, 30, 40)] == [4, 3, 2, 1, 0]
    assert value_at(x, values, 9.9) is None
    assert value_at(x, values, 40.1) is None
    assert value_at([], [], 1.0) is None


@given(numbers, st.randoms())
def test_the_order_of_the_seeds_changes_nothing(values: list[float], random: object) -> None:
    shuffled = values.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert mean_interval(shuffled) == mean_interval(values)
    pairs, budgets = [Pair(v, 1.0, v > 5000) for v in values], [1e5] * len(values)
    assert paired_speedup([Pair(v, 1.0, v > 5000) for v in shuffled]) == paired_speedup(pairs)
    assert selection_entropy(shuffled) == selection_entropy(values)

    def times(some: list[float]) -> list[float | None]:
        return [v if v < 5000 else None for v in some]

    assert median_time(times(shuffled), budgets) == median_time(times(values), budgets)


@given(numbers)
def test_the_speedup_of_exchanged_methods_is_the_reciprocal(values: list[float]) -> None:
    there = paired_speedup([Pair(v, 1.0) for v in values])
    back = paired_speedup([Pair(1.0, v) for v in values])
    assert there.mean is not None
    assert back.mean == pytest.approx(1 / there.mean, rel=1e-6)
    if there.low is not None and there.low > 1e-100:
        assert back.high == pytest.approx(1 / there.low, rel=1e-4)
