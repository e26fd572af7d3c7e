"""The judge's result as plain values."""

import json
import math

import pytest
from tests.study.made_up_runs import Studio
from tests.study.test_judge import ASKED, FALLING, FD, method

from d3gan.runs import RunFolder
from d3gan.study.judgement import judgement
from d3gan.study.measures import Group
from d3gan.study.methods import Method
from d3gan.study.question import Primary, Question
from d3gan.study.records import load


def as_method(name: str, runs: list[RunFolder]) -> Method:
    return Method(name, [load(run) for run in runs])


def test_the_decomposition_multiplies_to_the_ratio_of_times(studio: Studio) -> None:
    """The method needs half of the images at 1.6 times the seconds per image: 0.8."""
    base = method(studio, "dcgan", 6, seconds=10)
    fast = [
        studio.run("d3gan", seed, [20.0, 5.0, 5.0, 5.0], seconds=16 * (1 + 0.04 * (seed % 5)))
        for seed in range(6)
    ]
    pilot = [load(studio.run("pilot", 100, [v * 4 for v in FALLING]))]  # the target is 25
    groups = [Group([as_method("dcgan", base), as_method("d3gan", fast)], pilot)]
    found = judgement(groups, ASKED, FD)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    costs = found["groups"][0]["costs"]["d3gan"]
    assert costs["seconds_per_image"]["ratio"] == pytest.approx(1.6)
    estimates = [costs[key]["estimate"] for key in ("images_to_target", "time_to_target")]
    assert estimates[1] == pytest.approx(1.6 * estimates[0], rel=0.02)
    assert costs["product"] == pytest.approx(1.6 * estimates[0])


def test_the_headline_is_the_primary_comparison(studio: Studio) -> None:
    methods = [
        as_method(name, method(studio, name, 4, seconds=10 - 2 * i))
        for i, name in enumerate(("dcgan", "d3gan", "wide"))
    ]
    question = Question(primary=Primary("wide", "images", 1.1))
    found = judgement([Group(methods)], question, FD)
    primary = [c for c in found["groups"][0]["comparisons"] if c["primary"]]
    assert [(c["method"], c["clock"], c["factor"]) for c in primary] == [("wide", "images", 1.1)]
    assert found["headline"] == found["sentences"][0] == primary[0]["sentence"]
    assert len(found["sentences"]) == 2  # one more method
    assert "number of images" in found["sentences"][1]


def test_methods_are_compared_within_a_group_only(studio: Studio) -> None:
    groups = [
        Group(
            [as_method(f"{n}-{b}", method(studio, f"{n}-{b}", 4, seconds=10)) for n in ("a", "b")],
            varied={"train.batch_size": b},
        )
        for b in (32, 64)
    ]
    found = judgement(groups, ASKED, FD)
    pairs = {(c["method"], c["baseline"]) for g in found["groups"] for c in g["comparisons"]}
    assert pairs == {("b-32", "a-32"), ("b-64", "a-64")}
    assert [group["varied"] for group in found["groups"]] == [
        {"train.batch_size": 32},
        {"train.batch_size": 64},
    ]
    assert not any(c["primary"] for g in found["groups"] for c in g["comparisons"])


def test_a_group_in_which_nothing_was_learned_does_not_stop_the_others(studio: Studio) -> None:
    flat = {
        name: as_method(name, [studio.run(name, s, [99.0, 98.0], start=100.0) for s in range(4)])
        for name in ("a", "b")
    }
    good = {name: as_method(name, method(studio, name, 4, seconds=10)) for name in ("c", "d")}
    found = judgement([Group(list(flat.values())), Group(list(good.values()))], ASKED, FD)
    assert found["groups"][0]["learned"] is False
    assert found["groups"][0]["comparisons"] == []
    assert found["sentences"][0] == found["groups"][0]["reason"]
    assert found["sentences"][1].startswith("At c's training time, d's FD is")


def test_nothing_at_all() -> None:
    found = judgement([], ASKED, FD, {"run-a": "has no evaluation"})
    assert found["headline"] == "Nothing can be judged: run-a has no evaluation."
    assert found["left_out"] == [{"name": "run-a", "reason": "has no evaluation"}]


def test_times_hold_every_run_and_budgets_of_diverged_runs_are_unknown(studio: Studio) -> None:
    runs = [studio.run("a", 0, FALLING), studio.run("a", 1, FALLING[:2], state="diverged")]
    base = method(studio, "base", 4, seconds=10)
    found = judgement([Group([as_method("base", base), as_method("a", runs)])], ASKED, FD)
    rows = found["groups"][0]["times"]["a"]["images"]["1.25"]
    assert rows[0]["budget"] == 600
    assert rows[0]["reached"] == pytest.approx(
        500 - 100 * math.log(6.25 / 5) / math.log(2), rel=0.02
    )
    assert rows[1] == {"seed": 1, "reached": None, "budget": None, "at_first": False}
    assert found["groups"][0]["stability"]["a"]["diverged"] == 1
