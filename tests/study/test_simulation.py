"""Simulated studies have the noise of the pilot and the effect that was asked for, and the judge is
right as often as docs/judge.md says."""

import json
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.benchmark_program import benchmark_program

from d3gan.study.pilot import Pilot, Runs, pair_pilot, pooled_pilot
from d3gan.study.simulation import Design, Truth, judged, length_for, simulate, tally

ROOT = Path(__file__).parents[2]
IMAGES = np.linspace(1000.0, 8000.0, 8)
MEAN = 5.0 - 1.2 * np.log(IMAGES / 1000.0)


def runs(seed: int, *, count: int = 5, first_seed: int = 0, slower: float = 1.0) -> Runs:
    """Return runs with errors that do not change during a run, and others."""
    random = np.random.default_rng(seed)
    errors = 0.15 * random.standard_normal((count, 1)) + 0.05 * random.standard_normal((count, 8))
    pace = math.log(0.01 * slower) + 0.03 * random.standard_normal(count)
    seeds = tuple(range(first_seed, first_seed + count))
    return Runs(seeds, IMAGES, MEAN + errors, pace)


@pytest.fixture(scope="module")
def pilot() -> Pilot:
    return pooled_pilot(runs(0), runs(1), {"third": runs(2)}, 1.25)


def covariance(runs: Runs) -> np.ndarray:
    return np.cov(np.column_stack([runs.curves, runs.cost_of_an_image]).T)


def test_the_noise_is_the_sample_covariance_of_the_pilot() -> None:
    first, second = runs(0), runs(1)
    found = pair_pilot(first, second)
    product = found.noise.T @ found.noise
    assert product[:9, :9] == pytest.approx(covariance(first))
    assert product[9:, 9:] == pytest.approx(covariance(second))
    both = np.cov(first.curves[:, 3], second.curves[:, 5])[0, 1]
    assert product[3, 14] == pytest.approx(both)


def test_runs_with_different_seeds_are_independent() -> None:
    found = pair_pilot(runs(0), runs(1, first_seed=50))
    product = found.noise.T @ found.noise
    assert product[:9, 9:] == pytest.approx(np.zeros((9, 9)))


def test_pooled_noise_is_the_same_for_both_methods(pilot: Pilot) -> None:
    product = pilot.noise.T @ pilot.noise
    expected = np.mean([covariance(runs(seed)) for seed in range(3)], axis=0)
    assert product[:9, :9] == pytest.approx(expected)
    assert product[9:, 9:] == pytest.approx(expected)


def test_methods_that_never_reach_the_target_are_not_pooled() -> None:
    first, second, third = runs(0), runs(1), runs(2)
    far = Runs(third.seeds, third.images, third.curves + 3.0, third.cost_of_an_image)
    with_far = pooled_pilot(first, second, {"far": far}, 1.25)
    assert with_far.noise == pytest.approx(pooled_pilot(first, second, {}, 1.25).noise)


def test_simulated_runs_have_the_noise_of_the_pilot(pilot: Pilot) -> None:
    group = simulate(pilot, Truth(), Design(20_000), np.random.default_rng(0))
    values = np.array([[row["fd"] for row in r.rows] for r in group.methods[1].records])
    expected = (pilot.noise.T @ pilot.noise)[9:17, 9:17]
    assert np.cov(np.log(values).T) == pytest.approx(expected, rel=0.1, abs=1e-3)


def test_the_mean_curve_goes_through_the_pilot_and_on(pilot: Pilot) -> None:
    assert pilot.curve(pilot.cost) == pytest.approx(pilot.mean)
    slope = np.polyfit(np.log(pilot.cost[3:]), pilot.mean[3:], 1)[0]
    (beyond,) = pilot.curve(2 * pilot.cost[-1:])
    assert beyond == pytest.approx(pilot.mean[-1] + slope * math.log(2))


@pytest.mark.parametrize("truth", [Truth(speed=1.31), Truth(quality=0.8)])
def test_without_noise_the_judge_finds_the_truth(pilot: Pilot, truth: Truth) -> None:
    quiet = Pilot(pilot.mean, pilot.cost, pilot.cost, 1e-3 * pilot.noise)
    found = judged(simulate(quiet, truth, Design(6), np.random.default_rng(0)), Design(6))
    assert found.time
    assert found.time.estimate
    assert found.quality
    assert found.word == "faster"
    if truth.quality == 1:
        assert found.time.estimate == pytest.approx(1 / truth.speed, rel=0.05)
    else:
        assert found.quality.ratio == pytest.approx(truth.quality, rel=0.02)


def test_the_times_of_a_faster_method_are_the_baseline_s_divided_by_its_speed(
    pilot: Pilot,
) -> None:
    """Its runs are those of the baseline at more cost, with the same deviations."""
    (slow,), (fast,) = (
        simulate(pilot, Truth(speed), Design(1), np.random.default_rng(0)).methods[1].records[:1]
        for speed in (1.0, 2.0)
    )
    values = [[row["fd"] for row in record.rows] for record in (slow, fast)]
    assert values[1][:4] == pytest.approx(values[0][1::2])  # at half of the cost


def test_runs_may_be_independent(pilot: Pilot) -> None:
    same = Pilot(pilot.mean, pilot.cost, pilot.cost, np.hstack([pilot.noise[:, :9]] * 2))
    equal = [
        [
            [row["fd"] for row in method.records[0].rows]
            for method in simulate(
                same, Truth(), Design(1, correlated=correlated), np.random.default_rng(0)
            ).methods
        ]
        for correlated in (True, False)
    ]
    assert equal[0][0] == pytest.approx(equal[0][1])
    assert equal[1][0] != pytest.approx(equal[1][1])


def test_failing_runs_do_not_reach_the_target(pilot: Pilot) -> None:
    found = judged(simulate(pilot, Truth(2.0, failing=1.0), Design(6), np.random.default_rng(0)),
                   Design(6))  # fmt: skip
    assert found.time
    assert found.time.reached[0] == 0


def test_the_length_of_the_runs_sets_the_share_that_is_censored(pilot: Pilot) -> None:
    lengths = [length_for(pilot, share, Design(8), studies=50) for share in (0.01, 0.2, 0.5)]
    assert lengths == sorted(lengths, reverse=True)
    found = tally(pilot, Truth(), Design(8, length=lengths[1]), 50)
    assert found.censored == pytest.approx(0.2, abs=0.07)
    assert sum(found.words.values()) == 50


def test_a_simulation_can_be_repeated(pilot: Pilot) -> None:
    assert tally(pilot, Truth(), Design(5), 5) == tally(pilot, Truth(), Design(5), 5)


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return benchmark_program("simulated_judge")


@pytest.mark.parametrize("name", ["mnist-pilot", "mnist-cpu"])
def test_the_docs_have_the_results(name: str, program: ModuleType) -> None:
    results = json.loads(program.RESULTS.read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "judge.md").read_text(encoding="utf-8")
    assert program.table(results[name]) in text


def error(share: float, studies: int) -> float:
    """Return three standard errors of a share of so many studies."""
    return 3 * math.sqrt(share * (1 - share) / studies)


# How often the judge is right, with the noise of the committed pilot on the clock "images"


@pytest.fixture(scope="module")
def committed(program: ModuleType) -> Pilot:
    found: Pilot = program.read("mnist-pilot")
    return found


@pytest.fixture(
    scope="module",
    params=[(factor, share) for factor in (1.25, 1.1) for share in (0.01, 0.2, 0.5)],
    ids=str,
)
def design(committed: Pilot, request: pytest.FixtureRequest) -> Design:
    """A study with this target, in which this share of the baseline's runs does not reach it."""
    factor, share = request.param
    length = length_for(committed, share, Design(8, factor), studies=60)
    return Design(8, factor, length=length, correlated=False)


@pytest.mark.slow
@pytest.mark.parametrize("speed", [1.31, 2.0])
def test_a_method_of_which_half_of_the_runs_fail_is_not_faster(
    speed: float, design: Design, committed: Pilot
) -> None:
    found = tally(committed, Truth(speed, failing=0.5), design, 120)
    assert found.share("faster") <= 0.025


@pytest.mark.slow
def test_equal_methods_differ_in_one_study_of_twenty(design: Design, committed: Pilot) -> None:
    found = tally(committed, Truth(), design, 200)
    assert found.share("faster", "slower") <= 0.05 + error(0.05, 200)
    assert 0.93 - error(0.95, 200) <= found.time_covered / 200 <= 0.98 + error(0.98, 200)


@pytest.mark.slow
def test_a_faster_method_is_called_faster(design: Design, committed: Pilot) -> None:
    """With 10 seeds; docs/judge.md says how often with 8."""
    found = tally(committed, Truth(1.31), replace(design, seeds=10), 200)
    assert found.share("slower") <= 0.05
    assert 0.93 - error(0.95, 200) <= found.time_covered / 200 <= 0.98 + error(0.98, 200)
    if design.factor == 1.25 and found.censored < 0.1:
        assert found.share("faster") >= 0.8


@pytest.mark.slow
def test_equal_methods_are_called_equivalent(design: Design, committed: Pilot) -> None:
    found = tally(committed, Truth(), replace(design, seeds=20, correlated=True), 60)
    assert found.quality_covered / 60 >= 0.93 - error(0.95, 60)
    if found.censored < 0.1:
        assert found.share("equivalent") >= 0.8
