"""Targets and the cost of reaching them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d3gan.study.targets import (
    best_within,
    cost_to,
    log_metric,
    metric_value,
    plateau,
    smoothed,
    target,
)

falling = st.lists(st.floats(-5, 5), min_size=1, max_size=12).map(lambda y: sorted(y, reverse=True))


@given(falling)
def test_smoothing_leaves_the_inside_of_a_falling_curve_as_it_is(y: list[float]) -> None:
    assert smoothed(y)[1:-1].tolist() == y[1:-1]


def test_smoothing_removes_a_single_outlier() -> None:
    y = [5.0, 4.0, -3.0, 2.0, 1.0, 0.0]
    assert smoothed(y).min() >= 0.0


def test_the_end_of_a_smoothed_curve_by_hand() -> None:
    # The inner values are 4, 3 and 3; the line through the last two gives 3, between 3 and -9.
    assert smoothed([5.0, 4.0, 3.0, 3.0, -9.0]).tolist()[-1] == 3.0


def test_the_start_of_a_curve_is_kept() -> None:
    """A steep fall to a plateau is not an outlier at the first evaluation."""
    assert smoothed([6.0, 2.0, 2.0, 2.0]).tolist() == [6.0, 2.0, 2.0, 2.0]


def test_the_plateau_is_the_median_of_the_best_smoothed_values() -> None:
    curves = [[3.0, 2.0, 1.0, 1.0], [3.0, 2.0, 2.0, 2.0], [9.0, 9.0, 9.0, 9.0]]
    assert plateau(curves) == 2.0
    assert math.exp(target(2.0, 1.25)) == pytest.approx(1.25 * math.exp(2.0))


def test_the_cost_is_interpolated_on_the_logarithm() -> None:
    cost, y = [10.0, 20.0, 30.0], np.log([100.0, 10.0, 1.0])
    assert cost_to(cost, y, math.log(10 * math.sqrt(10))) == pytest.approx(15.0)
    assert cost_to(cost, y, math.log(200.0)) == 10.0
    assert cost_to(cost, y, math.log(0.5)) is None
    assert cost_to(cost, y, math.log(20.0), is_count=True) == 20.0, "a count is not interpolated"


def test_the_best_within_a_budget() -> None:
    cost, y = [10.0, 20.0, 30.0], [3.0, 1.0, 2.0]
    assert best_within(cost, y, 15.0) == pytest.approx(2.0)  # interpolated
    assert best_within(cost, y, 15.0, is_count=True) == 3.0
    assert best_within(cost, y, 30.0) == 1.0  # the best checkpoint, not the last
    assert best_within(cost, y, math.inf) == 1.0
    assert best_within(cost, y, 5.0) is None


@given(st.floats(0.01, 100.0), st.sampled_from(["lower", "higher"]))
def test_the_logarithm_can_be_undone(value: float, better: str) -> None:
    assert metric_value(log_metric([value], better)[0], better) == pytest.approx(value)  # type: ignore[arg-type]


def test_values_that_are_not_positive_count_as_the_smallest_positive_one() -> None:
    assert log_metric([2.0, -0.1, 1.0], "lower").tolist() == [math.log(2), 0.0, 0.0]
