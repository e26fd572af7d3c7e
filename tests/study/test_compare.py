"""The comparison of runs that were never trained, whose results are known."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.study.made_up_runs import FALLING, PROTOCOL, Studio, compare, twice_as_fast

from d3gan import config as configs
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.runs import RunFolder
from d3gan.training.trainer import train


def test_a_speedup_of_exactly_two(studio: Studio) -> None:
    found = compare(twice_as_fast(studio))
    speedup = found["speedup"]["d3gan over dcgan"]
    for axis in ("images", "seconds"):
        numbers = [speedup[axis][key] for key in ("mean", "low", "high", "pairs", "censored")]
        assert numbers == pytest.approx([2, 2, 2, 3, 0])
    assert speedup["flops"]["mean"] == pytest.approx(1)  # of twice as expensive steps
    assert [speedup[key] for key in ("mean", "low", "high")] == pytest.approx([2, 2, 2])
    assert found["verdict"] == (
        "d3gan is faster than dcgan: it reached dcgan's best FD in 0.50 times its training time "
        "(speed-up 2.00, 95 % interval 2.00 to 2.00, 3 pairs of seeds)."
    )
    assert found["verdicts"] == {"d3gan": found["verdict"]}


def test_the_slower_method_never_reaches_the_best_of_the_faster(studio: Studio) -> None:
    found = compare(twice_as_fast(studio), baseline="d3gan")
    speedup = found["speedup"]["dcgan over d3gan"]["seconds"]
    assert (speedup["pairs"], speedup["censored"], speedup["low"]) == (3, 3, None)
    assert speedup["mean"] == pytest.approx(30 / 40)  # d3gan's best came after 30 s
    assert found["verdict"] == (
        "dcgan is slower than d3gan: three of three runs never reached d3gan's best FD "
        "(speed-up at most 0.75, 95 % upper bound 0.75)."
    )


def test_with_one_run_that_never_reaches_it_the_lower_bound_is_unknown(studio: Studio) -> None:
    runs = twice_as_fast(studio)
    runs.append(studio.run("dcgan", 3, FALLING))
    runs.append(studio.run("d3gan", 3, [9.0, 8.0, 7.0, 6.0]))
    found = compare(runs)
    speedup = found["speedup"]["d3gan over dcgan"]
    assert speedup["low"] is None
    assert speedup["mean"] == pytest.approx(2 ** (3 / 4))
    assert speedup["seconds"]["censored"] == 1
    assert found["verdict"] == (
        "No clear difference between d3gan and dcgan. One of four runs never reached dcgan's best "
        "FD, so the speed-up is unknown (at most 1.68)."
    )


def test_ties_are_a_speedup_of_one_and_no_clear_difference(studio: Studio) -> None:
    runs = [studio.run(m, s, FALLING) for m in ("dcgan", "d3gan") for s in (0, 1, 2)]
    found = compare(runs)
    assert [found["speedup"]["d3gan over dcgan"][k] for k in ("mean", "low", "high")] == [1, 1, 1]
    assert found["verdict"].startswith("No clear difference between d3gan and dcgan. ")
    assert found["verdict"].endswith(", but the interval includes 1.")


def test_one_seed_gives_no_interval(studio: Studio) -> None:
    found = compare([studio.run("dcgan", 0, FALLING), studio.run("d3gan", 0, [3.0, 2.0, 2.0, 2.0])])
    assert found["verdict"] == (
        "No clear difference between d3gan and dcgan. d3gan reached dcgan's best FD in 0.25 times "
        "its training time (speed-up 4.00), but one seed gives no interval."
    )
    speedup = found["speedup"]["d3gan over dcgan"]
    assert (speedup["mean"], speedup["low"], speedup["high"]) == (pytest.approx(4), None, None)
    assert found["methods"]["dcgan"] == {
        "fd": {"mean": 3.0, "low": None, "high": None, "seeds": 1, "better": "lower"}
    }
    curve = found["curves"]["dcgan"]
    assert (curve["low"], curve["seeds"]) == ([None] * 4, [1] * 4)
    time = found["time_to_target"]["d3gan"]
    assert (time["seconds"], time["seconds_low"], time["seconds_high"]) == (10, None, None)


def test_only_one_method(studio: Studio) -> None:
    found = compare([studio.run("dcgan", s, FALLING) for s in (0, 1)])
    assert found["verdict"] == "Only one method: nothing to compare."
    assert (found["speedup"], found["differences"], found["verdicts"]) == ({}, {}, {})
    assert (found["metric"], found["better"], found["baseline"]) == ("fd", "lower", "dcgan")
    assert found["target"] == {"value": 3.0, "what": "mean of the best fd of dcgan's runs"}


def test_methods_are_compared_at_equal_images_seconds_and_operations(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, FALLING, seconds=10.0) for s in (0, 1)]
    runs += [studio.run("d3gan", s, [8.0, 6.0, 4.0], seconds=16.0, kid=[3, 2, 1]) for s in (0, 1)]
    found = compare(runs)
    assert found["at"] == {"seconds": 40.0, "images": 300, "steps": 30, "flops": 40_000.0}
    assert found["methods"]["dcgan"]["fd"]["mean"] == 5
    assert found["methods"]["d3gan"]["fd"]["mean"] == 4
    assert found["methods"]["d3gan"]["kid"]["mean"] == 1
    assert found["methods"]["dcgan"]["kid"] == {
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
    assert (found["metric"], found["better"], found["target"]["value"]) == ("cs", "higher", 4.0)
    assert found["speedup"]["d3gan over dcgan"]["mean"] == pytest.approx(2)
    assert found["runs"]["d3gan"][0]["best"]["images"] == 300
    assert list(found["at_equal_time"]["d3gan"]) == ["cs"]


def test_seeds_without_a_partner_make_no_pair(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, FALLING) for s in (0, 1, 2, 3)]
    runs += [studio.run("d3gan", s, [5.0, 3.0, 2.0, 2.0]) for s in (2, 3, 7)]
    found = compare(runs)
    assert found["speedup"]["d3gan over dcgan"]["seconds"]["pairs"] == 2
    assert found["methods"]["dcgan"]["fd"]["seeds"] == 4
    assert found["warnings"] == ["d3gan and dcgan do not share seeds 0, 1, 7, which are in no pair"]
    found = compare([runs[0], runs[-1]])
    assert found["verdict"] == ("d3gan and dcgan cannot be compared: they have no seed in common.")


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
    time = found["time_to_target"]["d3gan"]
    assert (time["reached"], time["seeds"], time["seconds"]) == (1, 3, None)
    speedup = found["speedup"]["d3gan over dcgan"]["seconds"]
    assert (speedup["pairs"], speedup["censored"]) == (3, 2)
    assert speedup["mean"] == pytest.approx(2 ** (1 / 3))  # the others at 40 s of 40 s
    last = found["runs"]["d3gan"][2]
    assert (last["status"], last["steps"], last["best"]) == ("diverged", 3, None)
    assert found["curves"]["d3gan"]["runs"][2]["values"] == []
    assert found["curves"]["d3gan"]["seeds"] == [2, 1, 1, 1]
    assert found["warnings"] == [
        "2 of 6 runs diverged and are missing from the means after that: d3gan-seed-1, d3gan-seed-2"
    ]


def test_a_baseline_that_diverged_at_once_gives_no_pair(studio: Studio) -> None:
    runs = [studio.run("dcgan", 0, [], state="diverged"), studio.run("d3gan", 0, FALLING)]
    found = compare(runs)
    assert found["target"]["value"] is None
    assert found["time_to_target"] == {"dcgan": None, "d3gan": None}
    assert "cannot be compared: no run of dcgan with a common seed" in found["verdict"]


def test_all_runs_diverged(studio: Studio) -> None:
    runs = [studio.run(m, 0, [], state="diverged") for m in ("dcgan", "d3gan")]
    found = compare(runs)
    assert found["protocol"] is None
    assert found["at"] == {"seconds": None, "images": None, "steps": None, "flops": None}
    assert (found["metric"], found["methods"]) == ("fd", {"dcgan": {}, "d3gan": {}})


@pytest.mark.parametrize(("key", "value"), [("generated_images", 200), ("real_sha256", "cc")])
def test_protocols_that_differ_are_refused_by_name(studio: Studio, key: str, value: Any) -> None:
    runs = [studio.run("dcgan", s, FALLING) for s in (0, 1)]
    runs.append(studio.run("d3gan", 0, FALLING, protocol={**PROTOCOL, key: value}))
    with pytest.raises(UserError) as caught:
        compare(runs)
    message = f"{runs[0].path} and {runs[2].path} cannot be compared: their metrics differ in {key}"
    assert str(caught.value).startswith(message)


def test_errors_name_what_is_wrong(studio: Studio, tmp_path: Path) -> None:
    good, other = studio.run("dcgan", 0, FALLING), studio.run("d3gan", 0, FALLING)
    mistakes: list[tuple[str, list[RunFolder], dict[str, str]]] = [
        ("there are no runs", [], {}),
        ("there is no run at", [RunFolder(tmp_path / "nowhere")], {}),
        ("does not have the metric 'fdd' .did you mean 'fd'", [good], {"metric": "fdd"}),
        ("no method 'd3gam' .did you mean 'd3gan'", [good, other], {"baseline": "d3gam"}),
        ("same method with the same seed 0", [good, RunFolder(good.path)], {}),
        ("has no evaluation to compare; continue it with", [good, studio.run("new", 0, [])], {}),
        (
            r"has no evaluation to compare; retrain it .* --eval\.every-epochs",
            [studio.run("never", 0, [], config={"eval": {"every_epochs": 0.0}})],
            {},
        ),
    ]
    for message, runs, asked in mistakes:
        with pytest.raises(UserError, match=message):
            compare(runs, **asked)
    asks = studio.run("asks", 0, FALLING)
    asks.metrics_file.write_text(asks.metrics_file.read_text().replace('"fd", ', '"kid", '))
    with pytest.raises(UserError, match=r"monitors fd and .* monitors kid"):
        compare([good, asks])
    asks.metrics_file.write_text(asks.metrics_file.read_text().replace('"protocol"', '"contact"'))
    with pytest.raises(UserError, match="at step 10 lacks 'protocol'; repair or delete"):
        compare([good, asks])


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
    for key in ("speedup", "methods", "at", "at_equal_time", "time_to_target", "verdict"):
        assert a[key] == b[key]


@pytest.mark.usefixtures("quick_classifier")
def test_runs_that_were_trained(measured: Config) -> None:
    runs = []
    for name, discriminators in (("dcgan", 1), ("d3gan", 2)):
        sections = {"name": f"{name}-seed-0", "gan": {"discriminators": discriminators}}
        runs.append(train(configs.from_dict(sections, measured)))
    found = compare(runs)
    assert list(found["methods"]) == ["dcgan", "d3gan"]
    assert list(found["methods"]["d3gan"])[:3] == ["fd", "cs", "kid"]
    assert found["at"]["images"] == 400
    for method in found["runs"].values():
        assert method[0]["status"] in ("finished", "collapsed")
    d3gan, dcgan = (found["runs"][name][0]["flops"] for name in ("d3gan", "dcgan"))
    assert dcgan < d3gan < 2 * dcgan
    assert found["differences"] == {"d3gan": {"gan.discriminators": [1, 2]}}
    assert found["verdict"].startswith("No clear difference between d3gan and dcgan.")


def test_runs_of_an_older_version_have_no_operations(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, FALLING) for s in (0, 1)]
    runs += [studio.run("d3gan", s, FALLING, flops=None) for s in (0, 1)]
    for run in runs[2:]:
        run.status_file.unlink()
        run.checkpoint_file(40).touch()
    found = compare(runs)
    assert found["at"] == {"seconds": 40.0, "images": 400, "steps": 40, "flops": None}
    assert found["at_equal_compute"]["dcgan"]["fd"]["mean"] is None
    assert found["speedup"]["d3gan over dcgan"]["flops"] == {
        "mean": None, "low": None, "high": None, "pairs": 0, "censored": 0
    }  # fmt: skip
    assert found["speedup"]["d3gan over dcgan"]["seconds"]["pairs"] == 2
    assert found["time_to_target"]["d3gan"]["flops"] is None
    assert found["time_to_target"]["d3gan"]["reached"] == 2
    assert found["curves"]["d3gan"]["flops"] == [None] * 4
    assert found["curves"]["d3gan"]["runs"][0]["flops"] == [None] * 4
    run = found["runs"]["d3gan"][0]
    assert (run["status"], run["flops"], run["best"]["flops"]) == ("finished", None, None)
    (warning,) = found["warnings"]
    assert warning.startswith("2 of 4 runs come from an older version, which did not count")
