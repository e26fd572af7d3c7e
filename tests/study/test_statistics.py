"""Statistics of a few runs, for numbers whose results are known."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d3gan.study.statistics import (
    Interval,
    mean_interval,
    selection_entropy,
    step_value_at,
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


def test_a_count_keeps_its_value_until_the_next_evaluation() -> None:
    x, values = [10.0, 20.0, 40.0], [4.0, 7.0, 9.0]
    found = [step_value_at(x, values, here) for here in (9.9, 10, 19.9, 20, 39.9, 40, 40.1)]
    assert found == [None, 4, 4, 7, 7, 9, None]
    assert step_value_at([], [], 1.0) is None


@given(numbers, st.randoms())
def test_the_order_of_the_seeds_changes_nothing(values: list[float], random: object) -> None:
    shuffled = values.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert mean_interval(shuffled) == mean_interval(values)
    assert selection_entropy(shuffled) == selection_entropy(values)
