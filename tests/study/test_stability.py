"""Divergence and collapse: counts and exact tests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.study.made_up_runs import PROTOCOL, Studio

from d3gan.study.learned import has_learned
from d3gan.study.methods import Method
from d3gan.study.records import Metric, load
from d3gan.study.stability import collapsed, fisher_p, stability

FD = Metric("fd", "lower")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_fishers_test_equals_scipys(n: int, m: int, data: st.DataObject) -> None:
    stats = pytest.importorskip("scipy.stats")
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    expected = stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue
    assert fisher_p(a, n, b, m) == pytest.approx(expected)


def test_a_run_collapsed_if_it_covers_less_than_the_share_of_the_real_modes(studio: Studio) -> None:
    protocol = {**PROTOCOL, "real_modes": 10}
    runs = [
        studio.run("d3gan", s, [9.0, 5.0], modes=[9, modes], protocol=protocol)
        for s, modes in enumerate((4, 5, 10))
    ]
    records = [load(run) for run in runs]
    assert [collapsed(record, 0.5) for record in records] == [True, False, False]
    assert [collapsed(record, 1.0) for record in records] == [True, True, False]


def test_both_methods_may_collapse(studio: Studio) -> None:
    """One mode of ten is a collapse, although the other method covers no more."""
    protocol = {**PROTOCOL, "real_modes": 10}
    methods = [
        Method(
            name, [load(studio.run(name, s, [9.0], modes=[1], protocol=protocol)) for s in range(4)]
        )
        for name in ("dcgan", "d3gan")
    ]
    found = stability(methods[1], methods[0], 0.5)
    assert found == {
        "runs": 4,
        "diverged": 0,
        "p_diverged": 1.0,
        "collapsed": 4,
        "p_collapsed": 1.0,
    }
    assert stability(methods[0], methods[0], 0.5)["p_collapsed"] is None


def test_what_the_real_data_covers_may_be_unknown(studio: Studio) -> None:
    record = load(studio.run("dcgan", 0, [9.0], modes=[1]))
    assert collapsed(record, 0.5) is None
    found = stability(Method("a", [record]), Method("b", [record]), 0.5)
    assert found["collapsed"] is found["p_collapsed"] is None


@pytest.mark.parametrize(
    ("values", "learned", "why"),
    [
        ([60.0, 49.0], True, ""),
        ([60.0, 51.0], False, "it was still improving at the last evaluation; train longer"),
        (
            [60.0, 70.0],
            False,
            "it did not keep improving; train longer, or check the learning rates and the images",
        ),
    ],
)
def test_a_baseline_learned_if_it_halved_its_distance(
    studio: Studio, values: list[float], learned: bool, why: str
) -> None:
    found = has_learned([load(studio.run("dcgan", 0, values, start=100.0))], FD)
    assert (found.learned, found.why) == (learned, why)
    assert found.start == pytest.approx(100.0)


def test_runs_that_diverged_are_named_as_the_cause(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, [99.0], start=100.0, state="diverged") for s in range(2)]
    assert has_learned([load(run) for run in runs], FD).why == "2 of 2 runs diverged"


def test_without_an_evaluation_at_step_0_it_is_unknown(studio: Studio) -> None:
    assert has_learned([load(studio.run("dcgan", 0, [9.0, 1.0]))], FD).learned is None
