"""The comparison of runs that were never trained, whose results are known."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.study.made_up_runs import (
    FALLING,
    PROTOCOL,
    Studio,
    compare,
    comparison_of,
    twice_as_fast,
)

from d3gan import config as configs
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.runs import RunFolder
from d3gan.study.question import Question
from d3gan.training.trainer import train


def fd(value: float, low: float | None, high: float | None, seeds: int) -> dict[str, Any]:
    return {"fd": {"mean": value, "low": low, "high": high, "seeds": seeds, "better": "lower"}}


def only_comparison(found: dict[str, Any], clock: str = "seconds") -> dict[str, Any]:
    """Return the comparison on a clock, with the first target, of the only other method."""
    (group,) = found["judgement"]["groups"]
    (one,) = (c for c in group["comparisons"] if (c["clock"], c["factor"]) == (clock, 1.25))
    return dict(one)


def test_a_method_that_is_twice_as_fast(studio: Studio) -> None:
    found = compare(twice_as_fast(studio))
    for clock, ratio in (("images", 0.5), ("seconds", 0.5), ("steps", 0.5), ("flops", 1.0)):
        time = only_comparison(found, clock)["time"]  # steps of d3gan cost twice the operations
        assert time["estimate"] == pytest.approx(ratio, rel=0.1)
        assert (time["reached"], time["seeds"]) == ([6, 6], [6, 6])
    first = only_comparison(found)
    assert first["primary"]
    assert first["word"] == "faster"
    judgement = found["judgement"]
    assert judgement["headline"] == judgement["sentences"][0] == first["sentence"]
    assert judgement["headline"].startswith("d3gan reached FD ")
    assert judgement["headline"].endswith("6 seeds each): faster.")
    assert found["baseline"] == "dcgan"


def test_the_other_baseline_gives_the_other_word(studio: Studio) -> None:
    found = compare(twice_as_fast(studio), baseline="d3gan")
    first = only_comparison(found)
    assert (first["method"], first["baseline"], first["word"]) == ("dcgan", "d3gan", "slower")
    assert list(found["methods"]) == ["d3gan", "dcgan"], "the baseline comes first"


def test_one_seed_gives_no_interval(studio: Studio) -> None:
    found = compare([studio.run("dcgan", 0, FALLING), studio.run("d3gan", 0, [3.0, 2.0, 2.0, 2.0])])
    assert found["judgement"]["headline"].startswith("d3gan and dcgan cannot be judged: ")
    assert only_comparison(found)["quality"]["low"] is None
    assert found["methods"]["dcgan"] == fd(3.0, None, None, 1)
    curve = found["curves"]["dcgan"]
    assert (curve["low"], curve["seeds"]) == ([None] * 4, [1] * 4)


def test_only_one_method(studio: Studio) -> None:
    found = compare([studio.run("dcgan", s, FALLING) for s in (0, 1)])
    assert found["judgement"]["sentences"] == [
        "There is only one method, dcgan, so nothing is compared."
    ]
    assert found["differences"] == {}
    assert (found["metric"], found["better"], found["baseline"]) == ("fd", "lower", "dcgan")
    assert found["warnings"] == []


def test_methods_are_compared_at_equal_images_seconds_and_operations(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, FALLING, seconds=10.0) for s in (0, 1)]
    runs += [studio.run("d3gan", s, [8.0, 6.0, 4.0], seconds=16.0, kd=[3, 2, 1]) for s in (0, 1)]
    found = compare(runs)
    assert found["at"] == {"seconds": 40.0, "images": 300, "steps": 30, "flops": 40_000.0}
    assert found["methods"]["dcgan"]["fd"]["mean"] == 5
    assert found["methods"]["d3gan"]["fd"]["mean"] == 4
    assert found["methods"]["d3gan"]["kd"]["mean"] == 1
    assert found["methods"]["dcgan"]["kd"] == {
        "mean": None, "low": None, "high": None, "seeds": 0, "better": "lower"
    }  # fmt: skip
    assert found["at_equal_time"]["dcgan"]["fd"]["mean"] == 3
    assert found["at_equal_time"]["d3gan"]["fd"]["mean"] == 5  # between 32 s and 48 s
    assert found["at_equal_compute"]["d3gan"]["fd"]["mean"] == 6
    curve = found["curves"]["d3gan"]
    assert curve["images"] == [100, 200, 300]
    assert curve["seconds"] == [16, 32, 48]
    assert curve["steps"] == [10, 20, 30]
    assert curve["flops"] == [20_000, 40_000, 60_000]
    assert (curve["mean"], curve["low"], curve["seeds"]) == ([8, 6, 4], [8, 6, 4], [2, 2, 2])
    assert [run["seed"] for run in curve["runs"]] == [0, 1]
    assert found["differences"]["d3gan"] == {"gan.discriminators": [1, 2], "train.epochs": [4, 3]}
    assert found["configs"]["d3gan"]["gan.discriminators"] == 2


def test_a_higher_metric(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, FALLING, cs=[1.0, 2.0, 3.0, 4.0]) for s in (0, 1)]
    runs += [studio.run("d3gan", s, FALLING, cs=[2.0, 4.0, 4.5, 4.0]) for s in (0, 1)]
    found = compare(runs, metric="cs")
    assert (found["metric"], found["better"]) == ("cs", "higher")
    first = only_comparison(found)
    assert first["quality"]["ratio"] < 1, "below 1 is better, also for a higher metric"
    assert first["target"] < 4
    assert found["runs"]["d3gan"][0]["best"]["images"] == 300
    assert list(found["at_equal_time"]["d3gan"]) == ["cs"]


def test_seeds_without_a_partner_make_no_pair(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, FALLING) for s in (0, 1, 2, 3)]
    runs += [studio.run("d3gan", s, [5.0, 3.0, 2.0, 2.0]) for s in (2, 3, 7)]
    found = compare(runs)
    assert only_comparison(found)["quality"]["pairs"] == 2
    assert only_comparison(found)["time"]["seeds"] == [3, 4], "times need no pairs"
    assert found["methods"]["dcgan"]["fd"]["seeds"] == 4
    warning = (
        "only one of d3gan and dcgan was trained with seeds 0, 1 and 7: these runs cannot be "
        "compared in pairs"
    )
    assert warning in found["warnings"]


def test_diverged_runs_never_reach_the_target(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, FALLING) for s in (0, 1, 2)]
    runs.append(studio.run("d3gan", 0, [5.0, 2.0, 2.0, 2.0]))
    runs.append(studio.run("d3gan", 1, [5.0], epochs=4, state="diverged"))
    runs.append(studio.run("d3gan", 2, [], epochs=4, state="diverged"))  # never evaluated
    found = compare(runs)
    assert found["at"]["images"] == 400
    assert found["methods"]["d3gan"]["fd"]["seeds"] == 1
    assert found["outcomes"]["d3gan"] == {
        "finished": 1, "collapsed": 0, "diverged": 2, "unfinished": 0
    }  # fmt: skip
    (group,) = found["judgement"]["groups"]
    assert group["stability"]["d3gan"]["diverged"] == 2
    times = group["times"]["d3gan"]["seconds"]["1.25"]
    assert times[1] == {"seed": 1, "reached": None, "budget": None, "at_first": False}
    assert only_comparison(found)["time"]["seeds"] == [3, 3]
    assert found["judgement"]["left_out"] == []
    last = found["runs"]["d3gan"][2]
    assert (last["status"], last["steps"], last["best"]) == ("diverged", 3, None)
    assert found["curves"]["d3gan"]["runs"][2]["values"] == []
    assert found["curves"]["d3gan"]["seeds"] == [2, 1, 1, 1]
    assert found["warnings"][0] == (
        "2 of 6 runs diverged and are missing from the means after that: d3gan-seed-1, d3gan-seed-2"
    )


def test_without_an_evaluation_at_step_0_a_warning_says_what_is_unknown(studio: Studio) -> None:
    others = [studio.run("d3gan", 0, FALLING)]
    text = "whether dcgan learned anything is unknown"
    for seed, start, unknown in ((0, None, True), (1, 90.0, False)):
        found = compare([studio.run("dcgan", seed, FALLING, start=start), *others])
        assert any(warning.startswith(text) for warning in found["warnings"]) == unknown


def test_warnings_of_training_are_repeated_once_for_each_kind(studio: Studio) -> None:
    where = {"step": 20, "images": 200, "epoch": 2.0, "train_seconds": 20.0}
    runs = [studio.run("dcgan", seed, [9.0, 8.0]) for seed in (0, 1, 2)]
    for seed, run in enumerate(runs):
        message = f"the losses have exploded: {seed + 7} at step 20"
        row = {"kind": "warning", "name": "losses_exploded", "message": message}
        studio.append(run, {**where, **row})
    (found,) = [text for text in compare(runs)["warnings"] if "exploded" in text]
    assert found == (
        "in dcgan-seed-0, the losses have exploded: 7 at step 20 "
        "(a similar warning in 2 other runs)"
    )


def test_all_runs_diverged(studio: Studio) -> None:
    runs = [studio.run(m, 0, [], state="diverged") for m in ("dcgan", "d3gan")]
    found = compare(runs)
    assert found["protocol"] is None
    assert found["at"] == {"seconds": None, "images": None, "steps": None, "flops": None}
    assert (found["metric"], found["methods"]) == ("fd", {"dcgan": {}, "d3gan": {}})
    assert "judged" in found["judgement"]["headline"]


def test_the_pilot_fixes_the_targets_and_is_not_judged(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, FALLING, start=90.0) for s in (0, 1)]
    runs += [studio.run("d3gan", s, FALLING) for s in (0, 1, 100)]
    runs += [studio.run("dcgan", s, [8.0, 4.0, 2.0, 2.0]) for s in (100, 101)]
    found = comparison_of(runs, Question(pilot_seeds=(100, 101)))
    (group,) = found["judgement"]["groups"]
    assert group["targets"][0] == {
        "factor": 1.25, "value": pytest.approx(2.5), "plateau": pytest.approx(2.0),
        "source": "pilot", "seeds": [100, 101],
    }  # fmt: skip
    assert [run["seed"] for run in found["runs"]["dcgan"]] == [0, 1]
    assert found["warnings"] == []
    judged = comparison_of(runs, Question())
    assert judged["judgement"]["groups"][0]["targets"][0]["source"] == "runs"
    assert "computed from the same runs that are judged" in judged["warnings"][-1]


def test_varied_methods_are_compared_within_each_value(studio: Studio) -> None:
    runs = []
    for size in (10, 20):
        for method, rate in (("dcgan", 0.1), ("dcgan-wide", 0.2), ("d3gan", 0.1)):
            config = configs.nested({"train.batch_size": size, "optim.lr_g": rate})
            name = f"{method}-batch_size-{size}"
            runs += [studio.run(name, s, FALLING, config=config) for s in (0, 1, 100)]
    asked = Question(baseline="dcgan", pilot_seeds=(100,), vary=("train.batch_size",))
    found = comparison_of(runs, asked)
    for size, group in zip((10, 20), found["judgement"]["groups"], strict=True):
        assert group["varied"] == {"train.batch_size": size}
        assert group["baseline"] == f"dcgan-batch_size-{size}"
        assert group["methods"] == [
            f"{method}-batch_size-{size}" for method in ("dcgan", "dcgan-wide", "d3gan")
        ]
        assert {(t["source"], *t["seeds"]) for t in group["targets"]} == {("pilot", 100)}
        assert {c["baseline"] for c in group["comparisons"]} == {group["baseline"]}
    assert set(found["differences"]) == set(found["methods"]) - {
        "dcgan-batch_size-10", "dcgan-batch_size-20"
    }  # fmt: skip


def test_values_of_one_method_are_not_compared_and_the_warning_says_how(studio: Studio) -> None:
    runs = [
        studio.run(f"d3gan-rate-{rate}", s, FALLING, config={"optim": {"lr_g": rate}})
        for rate in (0.1, 0.2)
        for s in (0, 1)
    ]
    found = comparison_of(runs, Question(vary=("optim.lr_g",)))
    assert [len(group["methods"]) for group in found["judgement"]["groups"]] == [1, 1]
    assert "write each as a method of its own" in found["warnings"][-1]


# Runs that are left out


def left_out(runs: list[RunFolder], **asked: Any) -> dict[str, str]:
    return {run["name"]: run["reason"] for run in compare(runs, **asked)["judgement"]["left_out"]}


@pytest.mark.parametrize(("key", "value"), [("generated_images", 200), ("real_sha256", "cc")])
def test_numbers_of_different_protocols_never_meet(studio: Studio, key: str, value: Any) -> None:
    """The baseline's protocol rules, also if most runs have another one."""
    other = {**PROTOCOL, key: value}
    runs = [studio.run("d3gan", s, FALLING, protocol=other) for s in (0, 1, 2)]
    runs += [studio.run("dcgan", 0, FALLING), studio.run("d3gan", 3, FALLING)]
    found = compare(runs)
    assert found["protocol"] == PROTOCOL
    assert [run["name"] for run in found["runs"]["d3gan"]] == ["d3gan-seed-3"]
    reason = f"was evaluated by another protocol: its {key} is {value}, not {PROTOCOL[key]}"
    assert left_out(runs) == {f"d3gan-seed-{s}": reason for s in (0, 1, 2)}
    runs[3] = studio.run("dcgan", 9, [], state="diverged")  # and has no protocol
    assert list(left_out(runs)) == ["d3gan-seed-3"], "otherwise that of most evaluations"


def test_a_run_that_cannot_be_judged_does_not_stop_the_comparison(studio: Studio) -> None:
    runs = [studio.run(m, s, FALLING) for m in ("dcgan", "d3gan") for s in (0, 1)]
    never = {"eval": {"every_epochs": 0.0}}
    runs += [studio.run("new", 0, []), studio.run("never", 0, [], config=never)]
    runs += [RunFolder(runs[0].path), RunFolder(studio.folder / "planned-seed-0")]
    for seed, damage in enumerate(("not JSON", '{"kind": "eval", "step": 10}')):
        damaged = studio.run("damaged", seed, FALLING)
        damaged.metrics_file.write_text(damage + "\n")
        runs.append(damaged)
    without = studio.run("d3gan", 2, FALLING)
    without.metrics_file.write_text(without.metrics_file.read_text().replace('"fd"', '"kd"'))
    found = left_out([*runs, without])
    assert found == {
        "new-seed-0": "has no evaluation to compare; continue it with "
        f"`d3gan train {studio.folder / 'new-seed-0'}`",
        "never-seed-0": "was not evaluated during training; train a new run "
        "with --eval.every-epochs 1 to compare it (d3gan evaluate only prints its metrics)",
        "dcgan-seed-0": f"is the same method with the same seed 0 as {runs[0].path}, so they are "
        "not independent",
        "planned-seed-0": "has not been trained yet",
        "damaged-seed-0": found["damaged-seed-0"],
        "damaged-seed-1": found["damaged-seed-1"],
        "d3gan-seed-2": "does not have the metric 'fd'; it has kd",
    }
    assert "line 1 is damaged (Expecting value" in found["damaged-seed-0"]
    assert (
        "the row of kind eval at step 10 lacks a number 'train_seconds'; repair that"
        in (found["damaged-seed-1"])
    )
    judged = compare([*runs, without])
    assert list(judged["methods"]) == ["dcgan", "d3gan"]
    assert only_comparison(judged)["time"]["seeds"] == [2, 2]


def test_counts_are_never_interpolated(studio: Studio) -> None:
    runs = [
        studio.run("dcgan", 0, FALLING, epochs=4, modes=[2, 3, 8, 10]),
        studio.run("d3gan", 0, FALLING[:3], epochs=4, modes=[1, 4, 9]),
    ]
    found = compare(runs, metric="modes")
    assert found["at"]["images"] == 300
    modes = [found["methods"][name]["modes"]["mean"] for name in ("dcgan", "d3gan")]
    assert modes == [8, 9]
    spent = [curve["values"] for one in found["curves"].values() for curve in one["runs"]]
    assert spent == [[2, 3, 8, 10], [1, 4, 9]]
    for group in found["judgement"]["groups"]:
        for clocks in group["times"].values():
            for run in (run for runs in clocks["images"].values() for run in runs):
                assert run["reached"] in (None, 100, 200, 300, 400)


def test_methods_without_a_baseline_are_left_out(studio: Studio) -> None:
    runs = [studio.run("dcgan", 0, []), *(studio.run("d3gan", s, FALLING) for s in (0, 1))]
    found = compare(runs, baseline="dcgan")
    assert found["judgement"]["groups"] == []
    reasons = left_out(runs, baseline="dcgan")
    assert reasons["d3gan-seed-1"] == "has no run of the baseline dcgan to be compared with"
    assert found["judgement"]["headline"].startswith("Nothing can be judged: dcgan-seed-0 has no ")
    assert found["judgement"]["headline"].endswith("; 2 other runs are left out too.")
    assert (found["methods"], found["runs"], found["baseline"]) == ({}, {}, "")


def test_errors_name_what_is_wrong(studio: Studio, tmp_path: Path) -> None:
    good, other = studio.run("dcgan", 0, FALLING), studio.run("d3gan", 0, FALLING)
    mistakes: list[tuple[str, list[RunFolder], dict[str, str]]] = [
        ("there are no runs", [], {}),
        ("there is no run at", [RunFolder(tmp_path / "nowhere")], {}),
        ("no run has the metric 'fdd' .did you mean 'fd'", [good], {"metric": "fdd"}),
        ("no method 'd3gam' .did you mean 'd3gan'", [good, other], {"baseline": "d3gam"}),
    ]
    for message, runs, asked in mistakes:
        with pytest.raises(UserError, match=message):
            compare(runs, **asked)


@settings(max_examples=20)
@given(
    times=st.lists(st.floats(0.01, 100.0), min_size=2, max_size=5, unique=True),
    random=st.randoms(use_true_random=False),
)
def test_the_order_of_runs_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, times: list[float], random: Any
) -> None:
    studio = Studio(tmp_path_factory.mktemp("study"))
    pairs = [
        (studio.run("dcgan", s, [2.0, 1.0]), studio.run("d3gan", s, [1.0 + s % 2, 1.0], seconds=t))
        for s, t in enumerate(times)
    ]
    runs = [run for pair in pairs for run in pair]
    shuffled = runs.copy()
    random.shuffle(shuffled)
    a, b = compare(runs, baseline="dcgan"), compare(shuffled, baseline="dcgan")
    for key in ("methods", "at", "at_equal_time", "warnings"):
        assert a[key] == b[key]
    assert a["judgement"]["sentences"] == b["judgement"]["sentences"]


@pytest.mark.usefixtures("quick_classifier")
def test_runs_that_were_trained(measured: Config) -> None:
    runs = []
    for name, discriminators in (("dcgan", 1), ("d3gan", 2)):
        sections = {"name": f"{name}-seed-0", "gan": {"discriminators": discriminators}}
        runs.append(train(configs.from_dict(sections, measured)))
    found = compare(runs)
    assert list(found["methods"]) == ["dcgan", "d3gan"]
    assert list(found["methods"]["d3gan"])[:3] == ["fd", "cs", "kd"]
    assert found["at"]["images"] == 400
    for method in found["runs"].values():
        assert method[0]["status"] in ("finished", "collapsed")
    d3gan, dcgan = (found["runs"][name][0]["flops"] for name in ("d3gan", "dcgan"))
    assert dcgan < d3gan < 2 * dcgan
    assert found["differences"] == {"d3gan": {"gan.discriminators": [1, 2]}}
    assert "judged" in found["judgement"]["headline"]


def test_runs_of_an_older_version_have_no_operations(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, FALLING) for s in (0, 1)]
    runs += [studio.run("d3gan", s, FALLING, flops=None) for s in (0, 1)]
    for run in runs[2:]:
        run.status_file.unlink()
        run.checkpoint_file(40).touch()
    found = compare(runs)
    assert found["at"] == {"seconds": 40.0, "images": 400, "steps": 40, "flops": None}
    assert found["at_equal_compute"]["dcgan"]["fd"]["mean"] is None
    assert only_comparison(found, "flops")["time"] is None
    assert only_comparison(found, "seconds")["time"]["reached"] == [2, 2]
    assert found["curves"]["d3gan"]["flops"] == [None] * 4
    assert found["curves"]["d3gan"]["runs"][0]["flops"] == [None] * 4
    run = found["runs"]["d3gan"][0]
    assert (run["status"], run["flops"], run["best"]["flops"]) == ("finished", None, None)
    assert found["warnings"][0].startswith(
        "2 of 4 runs come from an older version, which did not count"
    )
