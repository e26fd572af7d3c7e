"""The ratio of censored times: against brute force, closed forms and symmetries."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d3gan.study.censored import Time, gehan_scores, permutation_test, rejects, time_ratio

costs = st.floats(0.1, 10.0)
runs = st.lists(
    st.tuples(costs, costs).map(lambda p: Time(p[0] if p[0] <= p[1] else None, p[1])),
    min_size=1,
    max_size=5,
)


def reached(*costs: float, budget: float = 100.0) -> list[Time]:
    return [Time(cost, budget) for cost in costs]


def arrays(times: list[Time]) -> tuple[np.ndarray, np.ndarray]:
    value = [t.budget if t.reached is None else t.reached for t in times]
    return np.array(value), np.array([t.reached is not None for t in times])


@given(runs)
def test_a_score_counts_the_runs_that_are_certainly_shorter_and_longer(times: list[Time]) -> None:
    def shorter(a: Time, b: Time) -> bool:
        """Whether a reached the target before b did, within b's budget."""
        if a.reached is None:
            return False
        return a.reached < b.reached if b.reached is not None else a.reached <= b.budget

    expected = [
        sum(shorter(b, a) for b in times) - sum(shorter(a, b) for b in times) for a in times
    ]
    assert gehan_scores(*arrays(times)).tolist() == expected


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=9), st.data())
def test_probabilities_equal_a_count_over_all_choices(
    scores: list[int], data: st.DataObject
) -> None:
    group = data.draw(st.integers(1, len(scores) - 1))
    sums = [sum(choice) for choice in itertools.combinations(scores, group)]
    observed = sum(scores[:group])
    at_most, at_least = permutation_test(np.array(scores), group)
    assert at_most == pytest.approx(np.mean([s <= observed for s in sums]), rel=1e-12)
    assert at_least == pytest.approx(np.mean([s >= observed for s in sums]), rel=1e-12)


def test_without_censoring_it_is_the_test_of_wilcoxon_mann_and_whitney() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    first, second = rng.lognormal(size=8), rng.lognormal(0.5, size=7)
    p = stats.mannwhitneyu(first, second, method="exact").pvalue
    assert time_ratio(reached(*first), reached(*second)).p == pytest.approx(p, rel=1e-9)


def test_the_estimate_without_censoring_is_the_median_of_all_ratios() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.lognormal(size=5), rng.lognormal(size=7)
    ratios = [a / b for a in first for b in second]
    found = time_ratio(reached(*first), reached(*second))
    assert found.estimate == pytest.approx(np.median(ratios), rel=1e-9)


def test_the_interval_holds_what_the_test_does_not_reject() -> None:
    rng = np.random.default_rng(2)
    method = [Time(x if x < 2 else None, 2.0) for x in rng.lognormal(0.3, 0.5, size=8)]
    baseline = [Time(x if x < 3 else None, 3.0) for x in rng.lognormal(0.0, 0.5, size=6)]
    found = time_ratio(method, baseline)
    for ratio in np.geomspace(0.05, 20, 400):
        assert rejects(method, baseline, ratio) == (not found.low <= ratio <= found.high), ratio


@settings(max_examples=50)
@given(runs, runs, st.sampled_from([0.25, 2.0, 8.0]))
def test_the_unit_of_time_does_not_matter(a: list[Time], b: list[Time], factor: float) -> None:
    def scaled(times: list[Time]) -> list[Time]:
        return [Time(t.reached and factor * t.reached, factor * t.budget) for t in times]

    assert time_ratio(scaled(a), scaled(b)) == time_ratio(a, b)


@settings(max_examples=50)
@given(runs, runs)
def test_exchanging_the_methods_inverts_the_ratio(a: list[Time], b: list[Time]) -> None:
    one, other = time_ratio(a, b), time_ratio(b, a)
    assert other.p == pytest.approx(one.p, rel=1e-12)
    assert other.reached == one.reached[::-1]
    inverse = math.inf if other.high == 0 else 1 / other.high
    assert one.low == pytest.approx(inverse, rel=1e-9) or (one.low, other.high) == (0, math.inf)


def test_a_run_that_diverged_is_longer_than_every_run_that_reached_the_target() -> None:
    diverged, unfinished = Time(None, math.inf), Time(None, 0.5)
    baseline = reached(1, 1.1, 1.2, 1.3, 1.4)
    assert time_ratio([diverged] * 5, baseline).p == pytest.approx(2 / math.comb(10, 5))
    assert time_ratio([unfinished] * 5, baseline).p == 1  # they ended before the baseline got there


def test_three_seeds_each_cannot_reject_and_four_can() -> None:
    fast, slow = (1, 1.1, 1.2, 1.3), (9, 9.1, 9.2, 9.3)
    assert time_ratio(reached(*fast[:3]), reached(*slow[:3])).p == pytest.approx(0.1)
    assert time_ratio(reached(*fast), reached(*slow)).high < 1


def test_a_longer_budget_of_one_method_gives_it_no_advantage() -> None:
    """The method takes 5; the baseline was observed up to 3: the ratio is at most 5 / 3."""
    method, baseline = reached(*[5.0] * 6, budget=9.0), [Time(None, 3.0)] * 6
    found = time_ratio(method, baseline)
    assert found.p == 1
    assert found.reached == (6, 0)
    assert (found.low, found.high) == (0.0, pytest.approx(5 / 3))


def test_one_run_that_never_gets_there_does_not_forbid_a_claim() -> None:
    method = [*reached(1, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3), Time(None, 100.0)]
    found = time_ratio(method, reached(2, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7))
    assert found.high < 1
    assert found.reached == (7, 8)
