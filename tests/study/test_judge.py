"""The judge's words over made-up runs, and the procedures that it uses."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.study.made_up_runs import Studio

from d3gan.runs import RunFolder
from d3gan.study.censored import Time, time_ratio
from d3gan.study.judge import Comparison, decide, holm, judge, least_reached
from d3gan.study.measures import Group
from d3gan.study.methods import Method
from d3gan.study.methods import group as grouped
from d3gan.study.question import Primary, Question
from d3gan.study.records import Metric, load

FD = Metric("fd", "lower")
ASKED = Question()
FALLING = [80.0, 40.0, 20.0, 10.0, 5.0, 5.0]


def results(
    runs: list[RunFolder], question: Question = ASKED, pilot: Sequence[RunFolder] = ()
) -> dict[str, Comparison]:
    """Return the comparisons on training time with the first target, by method."""
    methods = list(grouped([load(run) for run in runs]).values())
    (part,) = judge([Group(methods, [load(run) for run in pilot])], question, FD)
    return {
        c.method: c for c in part.comparisons if (c.clock, c.target.factor) == ("seconds", 1.25)
    }


def method(
    studio: Studio, name: str, seeds: int, *, seconds: float, factor: float = 1.0, rate: float = 0.1
) -> list[RunFolder]:
    """Write runs whose seeds differ by 4 % in time and 2 % in quality; `rate` makes methods
    different."""
    return [
        studio.run(
            name,
            seed,
            [factor * v * (1 + 0.02 * (seed % 3)) for v in FALLING],
            seconds=seconds * (1 + 0.04 * (seed % 5)),
            config={"optim": {"lr_g": rate}},
        )
        for seed in range(seeds)
    ]


@pytest.mark.parametrize(("seconds", "word"), [(7.0, "faster"), (14.0, "slower")])
def test_faster_slower_and_the_ratio(studio: Studio, seconds: float, word: str) -> None:
    runs = method(studio, "dcgan", 8, seconds=10) + method(studio, "d3gan", 8, seconds=seconds)
    (c,) = results(runs).values()
    assert c.word == word
    assert c.primary
    assert c.time is not None
    assert c.time.estimate == pytest.approx(seconds / 10, rel=0.03)


def test_equal_methods_are_equivalent(studio: Studio) -> None:
    runs = method(studio, "dcgan", 8, seconds=10) + method(studio, "d3gan", 8, seconds=10)
    (c,) = results(runs).values()
    assert c.word == "equivalent"
    assert c.quality is not None
    assert c.quality.ratio == pytest.approx(1)


def test_three_seeds_cannot_be_judged_unless_they_are_equivalent(studio: Studio) -> None:
    runs = method(studio, "dcgan", 3, seconds=10) + method(studio, "d3gan", 3, seconds=5)
    (c,) = results(runs).values()
    assert (c.word, c.reason) == ("cannot be judged", "too few seeds")


def test_nothing_is_judged_if_no_run_reaches_the_target(studio: Studio) -> None:
    pilot = [studio.run("pilot", 100, [v / 10 for v in FALLING])]
    runs = method(studio, "dcgan", 5, seconds=10) + method(studio, "d3gan", 5, seconds=2, factor=2)
    (c,) = results(runs, pilot=pilot).values()
    assert (c.word, c.reason) == ("cannot be judged", "never reached")


def test_times_before_the_first_evaluation_are_unknown(studio: Studio) -> None:
    """The seconds of the first evaluation differ, but not necessarily those to the target."""
    pilot = [studio.run("pilot", 100, [90.0])]
    runs = method(studio, "dcgan", 5, seconds=10)
    runs += method(studio, "d3gan", 5, seconds=5, factor=0.5)
    (c,) = results(runs, pilot=pilot).values()
    assert (c.word, c.reason) == ("cannot be judged", "first evaluation")


def test_the_pilot_fixes_the_target(studio: Studio) -> None:
    pilot = [studio.run("pilot", 100 + s, [v * (1 + s) for v in FALLING]) for s in range(3)]
    runs = method(studio, "dcgan", 4, seconds=10) + method(studio, "d3gan", 4, seconds=5)
    (c,) = results(runs, pilot=pilot).values()
    assert c.target.source == "pilot"
    assert c.target.seeds == [100, 101, 102]
    assert c.target.value == pytest.approx(1.25 * 10)


@pytest.mark.parametrize(("fails", "word"), [(0, "faster"), (1, "no clear difference")])
def test_a_method_that_may_fail_in_half_of_its_runs_is_not_faster(
    studio: Studio, fails: int, word: str
) -> None:
    """All runs of the baseline reach the target; one failure of eight is compatible with half."""
    runs = method(studio, "dcgan", 8, seconds=10) + method(studio, "d3gan", 8 - fails, seconds=5)
    same = {"optim": {"lr_g": 0.1}}
    runs += [studio.run("d3gan", 7 - i, [60.0] * 6, seconds=5, config=same) for i in range(fails)]
    pilot = [studio.run("pilot", 100, FALLING)]
    (c,) = results(runs, pilot=pilot).values()
    assert c.time is not None
    assert c.time.high < 1
    assert c.word == word


def test_without_learning_nothing_is_compared(studio: Studio) -> None:
    flat = [100.0, 99.0, 98.0]
    runs = [studio.run(m, s, flat, start=101.0) for m in ("dcgan", "d3gan") for s in range(4)]
    methods = list(grouped([load(run) for run in runs]).values())
    (part,) = judge([Group(methods)], Question(), FD)
    assert part.learned.learned is False
    assert part.learned.why == "it was still improving at the last evaluation; train longer"
    assert part.comparisons == []


def test_each_family_of_comparisons_is_corrected_for_its_own_number(studio: Studio) -> None:
    names = ("dcgan", "d3gan", "x", "y", "z")
    methods = [
        Method(n, [load(r) for r in method(studio, n, 5, seconds=10 - 2 * i)])
        for i, n in enumerate(names)
    ]
    question = Question(primary=Primary("d3gan"))
    (part,) = judge([Group(methods)], question, FD)
    factors = {
        (c.method, c.clock, c.target.factor): c.adjusted_p / c.time.p
        for c in part.comparisons
        if c.time and c.time.p < 0.01 and c.adjusted_p is not None
    }
    assert factors["d3gan", "seconds", 1.25] == pytest.approx(1)  # the primary
    assert {
        f
        for (m, clock, t), f in factors.items()
        if m != "d3gan" and (clock, t) == ("seconds", 1.25)
    } == {3.0}
    assert len(part.comparisons) == 4 * 4 * 2
    supplementary = [c for c in part.comparisons if (c.clock, c.target.factor) != ("seconds", 1.25)]
    assert [c.adjusted_p for c in supplementary] == pytest.approx(
        holm([c.time.p for c in supplementary if c.time])
    )
    (part,) = judge([Group(methods)], Question(), FD)
    assert not any(c.primary for c in part.comparisons)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_by_its_definition(p: list[float]) -> None:
    adjusted = holm(p)
    order = sorted(range(len(p)), key=lambda i: p[i])
    for rank, i in enumerate(order):
        expected = max(min(1.0, (len(p) - r) * p[order[r]]) for r in range(rank + 1))
        assert adjusted[i] == pytest.approx(expected)


def test_an_equivalence_does_not_hide_a_difference_of_times() -> None:
    fast = [Time(x, 9.0) for x in (1, 1.1, 1.2, 1.3, 1.4, 1.5)]
    slow = [Time(x, 9.0) for x in (2, 2.1, 2.2, 2.3, 2.4, 2.5)]
    time = time_ratio(fast, slow)
    assert decide(time, time.p, 0.001) == ("faster", "")
    assert decide(time, 0.2, 0.001) == ("equivalent", "")
    assert decide(time, 0.2, 0.5) == ("no clear difference", "corrected")


@pytest.mark.parametrize("seeds", range(1, 25))
def test_half_failing_runs_are_called_reliable_in_at_most_2_5_percent(seeds: int) -> None:
    least = least_reached(seeds)
    chance = sum(math.comb(seeds, k) for k in range(least, seeds + 1)) / 2**seeds
    more = math.comb(seeds, least - 1) / 2**seeds
    assert chance <= 0.025 < chance + more
    assert (least <= seeds) == (seeds >= 6)
