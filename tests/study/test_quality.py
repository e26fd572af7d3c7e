"""Ratios of paired runs, and equivalence."""

import math

import numpy as np
import pytest

from d3gan.study.quality import geometric_ratio, quality_ratio


def test_the_ratio_is_a_geometric_mean_with_students_interval() -> None:
    stats = pytest.importorskip("scipy.stats")
    x = np.log([0.9, 1.1, 1.3, 0.8])
    found = geometric_ratio(list(x))
    low, high = stats.t.interval(0.95, 3, loc=x.mean(), scale=stats.sem(x))
    assert found.ratio == pytest.approx(math.exp(x.mean()))
    assert (found.low, found.high) == (pytest.approx(math.exp(low)), pytest.approx(math.exp(high)))


@pytest.mark.parametrize("shift", [-0.3, -0.1, 0.0, 0.05, 0.12])
def test_equivalence_is_the_larger_of_two_one_sided_t_tests(shift: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    x = np.random.default_rng(0).normal(shift, 0.15, size=10)
    limit = math.log(1.15)
    above = stats.ttest_1samp(x, -limit, alternative="greater").pvalue
    below = stats.ttest_1samp(x, limit, alternative="less").pvalue
    found = quality_ratio(list(x), 0.15)
    assert found.p == pytest.approx(max(above, below))
    assert found.low90 is not None
    assert found.high90 is not None
    assert (found.p <= 0.05) == (found.low90 >= 1 / 1.15 and found.high90 <= 1.15)


def test_one_pair_has_a_ratio_and_no_interval() -> None:
    found = quality_ratio([math.log(2)], 0.15)
    assert found.ratio == pytest.approx(2)
    assert (found.low, found.high, found.low90, found.p) == (None, None, None, None)


def test_pairs_without_spread_are_decided_by_their_mean() -> None:
    assert quality_ratio([0.0, 0.0, 0.0], 0.15).p == 0.0
    assert quality_ratio([0.5, 0.5, 0.5], 0.15).p == 1.0
