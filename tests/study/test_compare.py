"""The comparison of made-up runs, whose answers are known."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d3gan import config as configs
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.evaluation.protocol import EvaluationProtocol
from d3gan.runs import RunFolder
from d3gan.study import compare as comparison
from d3gan.study.methods import common_name
from d3gan.study.verdict import told
from d3gan.training.trainer import train

CONTRACT = EvaluationProtocol(
    features="classifier:digits",
    weights_sha256="aa",
    test_accuracy=0.99,
    resize="none",
    resolution=32,
    channels=1,
    real_source="digits",
    real_split="train",
    real_images=100,
    real_sha256="bb",
    generated_images=100,
    seed=0,
    ema=False,
).to_dict()


class Studio:
    """Writes run folders: 10 steps and 100 images an epoch, an evaluation at the end of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self,
        method: str,
        seed: int,
        values: Sequence[float],
        *,
        seconds: float = 10.0,
        epochs: int | None = None,
        contract: dict[str, Any] = CONTRACT,
        config: dict[str, Any] | None = None,
        diverged: bool = False,
        **more: Any,
    ) -> RunFolder:
        """`values` of fd; an epoch takes so many seconds; `more` are other keys of evaluations."""
        run = RunFolder(self.folder / f"{method}-seed-{seed}")
        two = 2 if "d3gan" in method else 1
        made = configs.from_dict(
            {
                "name": run.path.name,
                "seed": seed,
                "out_dir": str(self.folder),
                "data": {"source": "digits", "channels": 1},
                "gan": {"discriminators": two},
                "train": {"batch_size": 10, "epochs": float(epochs or len(values) or 4)},
                "eval": {"every_epochs": 1.0},
            }
        )
        made = configs.from_dict(config or {}, made)
        run.begin(configs.to_toml(made), {"cpu": "abacus", "processes": 1})
        for i, value in enumerate(values, start=1):
            where = {"step": 10 * i, "images": 100 * i, "epoch": float(i)}
            where["train_seconds"] = seconds * i
            train = {"kind": "train", "loss_g": 1.0, "chosen": [0] * 7 + [two - 1] * 3}
            row = {"kind": "eval", "monitor": "fd", "fd": value, "fd_stderr": 0.1}
            other = {key: column[i - 1] for key, column in more.items()}
            self.append(run, {**where, **train})
            self.append(run, {**where, **row, **other, "protocol": contract})
        if diverged:
            step = 10 * len(values) + 3
            row = {"kind": "diverged", "step": step, "images": 10 * step, "epoch": step / 10}
            self.append(run, {**row, "train_seconds": seconds * step / 10, "what": "loss_g"})
        return run

    def append(self, run: RunFolder, row: dict[str, Any]) -> None:
        with run.metrics_file.open("a") as file:
            file.write(json.dumps(row) + "\n")  # NaN and all


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)


def flops(config: Config) -> float:
    return 1000.0 * config.gan.discriminators


def compare(runs: Sequence[RunFolder], **asked: Any) -> dict[str, Any]:
    found = comparison.compare(runs, flops_per_step=flops, **asked)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


FALLING = [9.0, 7.0, 5.0, 3.0]


def twice_as_fast(studio: Studio) -> list[RunFolder]:
    """The second method comes to the first one's best after half of the images and seconds."""
    slow = [studio.run("dcgan", s, [v + s for v in FALLING]) for s in range(3)]
    fast = [studio.run("d3gan", s, [7.0 + s, 3.0 + s, 2.0 + s, 2.0 + s]) for s in range(3)]
    return [*slow, *fast]


def test_a_speedup_of_exactly_two_is_shown(studio: Studio) -> None:
    found = compare(twice_as_fast(studio))
    speedup = found["speedup"]["d3gan over dcgan"]
    for axis in ("images", "seconds"):
        numbers = [speedup[axis][key] for key in ("mean", "low", "high", "pairs", "censored")]
        assert numbers == pytest.approx([2, 2, 2, 3, 0])
    assert speedup["flops"]["mean"] == pytest.approx(1)  # of twice as expensive steps
    assert [speedup[key] for key in ("mean", "low", "high")] == pytest.approx([2, 2, 2])
    assert found["verdict"] == (
        "d3gan reached dcgan's best fd in 0.50 of its training time "
        "(speed-up 2.00, 95 % interval 2.00 to 2.00, 3 pairs of seeds): shown."
    )
    assert found["verdicts"] == {"d3gan": found["verdict"]}


def test_the_other_way_round_it_is_never_reached(studio: Studio) -> None:
    found = compare(twice_as_fast(studio), baseline="d3gan")
    speedup = found["speedup"]["dcgan over d3gan"]["seconds"]
    assert (speedup["pairs"], speedup["censored"], speedup["low"]) == (3, 3, None)
    assert speedup["mean"] == pytest.approx(30 / 40)  # d3gan's best came after 30 s
    assert found["verdict"] == (
        "dcgan did not reach d3gan's best fd in 3 of 3 pairs of seeds "
        "(speed-up at most 0.75, with 95 % confidence 0.75): shown to be slower."
    )


def test_one_run_that_never_reaches_it_leaves_no_lower_end(studio: Studio) -> None:
    runs = twice_as_fast(studio)
    runs.append(studio.run("dcgan", 3, FALLING))
    runs.append(studio.run("d3gan", 3, [9.0, 8.0, 7.0, 6.0]))
    found = compare(runs)
    speedup = found["speedup"]["d3gan over dcgan"]
    assert speedup["low"] is None
    assert speedup["mean"] == pytest.approx(2 ** (3 / 4))
    assert speedup["seconds"]["censored"] == 1
    assert "in 1 of 4 pairs of seeds (speed-up at most 1.68" in found["verdict"]
    assert found["verdict"].endswith(
        ": not shown, because a run that never came there leaves no lower limit."
    )


def test_ties_are_a_speedup_of_one_which_shows_nothing(studio: Studio) -> None:
    runs = [studio.run(m, s, FALLING) for m in ("dcgan", "d3gan") for s in (0, 1, 2)]
    found = compare(runs)
    assert [found["speedup"]["d3gan over dcgan"][k] for k in ("mean", "low", "high")] == [1, 1, 1]
    assert found["verdict"].endswith(": not shown, because the interval includes 1.")


def test_one_seed_claims_no_interval(studio: Studio) -> None:
    found = compare([studio.run("dcgan", 0, FALLING), studio.run("d3gan", 0, [3.0, 2.0, 2.0, 2.0])])
    assert found["verdict"] == (
        "d3gan reached dcgan's best fd in 0.25 of its training time (speed-up 4.00): "
        "not shown, because one seed alone gives no interval."
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


def test_a_method_alone(studio: Studio) -> None:
    found = compare([studio.run("dcgan", s, FALLING) for s in (0, 1)])
    assert found["verdict"] == "dcgan stands alone: there is nothing to compare it with."
    assert (found["speedup"], found["differences"], found["verdicts"]) == ({}, {}, {})
    assert (found["metric"], found["better"], found["baseline"]) == ("fd", "lower", "dcgan")
    assert found["target"] == {"value": 3.0, "what": "mean of the best fd of dcgan's runs"}


def test_methods_are_compared_at_equal_images_seconds_and_operations(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, FALLING, seconds=10.0) for s in (0, 1)]
    runs += [studio.run("d3gan", s, [8.0, 6.0, 4.0], seconds=16.0, kid=[3, 2, 1]) for s in (0, 1)]
    found = compare(runs)
    assert found["at"] == {"images": 300, "seconds": 40.0, "flops": 40_000.0}
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
    assert found["verdict"] == (
        "d3gan against dcgan: not shown, because they have no seed in common."
    )


def test_diverged_runs_never_reach_what_they_did_not(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, FALLING) for s in (0, 1, 2)]
    runs.append(studio.run("d3gan", 0, [5.0, 2.0, 2.0, 2.0]))
    runs.append(studio.run("d3gan", 1, [5.0], epochs=4, diverged=True))
    runs.append(studio.run("d3gan", 2, [], epochs=4, diverged=True))  # never evaluated
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
        "2 of 6 runs diverged, and are missing from means after that: d3gan-seed-1, d3gan-seed-2"
    ]


def test_a_baseline_that_diverged_at_once_gives_no_pair(studio: Studio) -> None:
    runs = [studio.run("dcgan", 0, [], diverged=True), studio.run("d3gan", 0, FALLING)]
    found = compare(runs)
    assert found["target"]["value"] is None
    assert found["time_to_target"] == {"dcgan": None, "d3gan": None}
    assert "not shown, because no run of the baseline" in found["verdict"]


def test_nothing_but_divergence(studio: Studio) -> None:
    runs = [studio.run(m, 0, [], diverged=True) for m in ("dcgan", "d3gan")]
    found = compare(runs)
    assert found["contract"] is None
    assert found["at"] == {"images": None, "seconds": None, "flops": None}
    assert (found["metric"], found["methods"]) == ("fd", {"dcgan": {}, "d3gan": {}})


def test_how_runs_ended(studio: Studio) -> None:
    modes = {"modes": [3, 4, 10, 10]}
    runs = [
        studio.run("dcgan", 0, FALLING, **modes),
        studio.run("dcgan", 1, FALLING, modes=[9, 10, 9, 9]),
        studio.run("dcgan", 2, FALLING[:2], epochs=4, modes=[9, 9]),
        studio.run("dcgan", 3, [3.0, 3.0, 3.0], epochs=4, modes=[1, 9, 10],
                   config={"eval": {"patience": 2}}),
    ]  # fmt: skip
    found = compare(runs)
    assert list(found["runs"]) == ["dcgan"]
    assert [run["status"] for run in found["runs"]["dcgan"]] == [
        *["finished", "collapsed", "unfinished", "finished"]
    ]
    assert found["at"]["images"] == 200
    assert found["configs"]["dcgan"]["eval.patience"] == "0, 2"


def test_a_run_by_itself(studio: Studio) -> None:
    run = studio.run("d3gan", 5, FALLING)
    for seconds, share, memory in ((42.0, 0.5, 7), (46.0, 1.0, 9), (47.0, None, None)):
        row = {"kind": "train", "step": 40, "images": 400, "epoch": 4.0, "train_seconds": seconds}
        more = {"chosen": [0, 0], "utilisation": share, "peak_memory_bytes": memory}
        studio.append(run, {**row, **more})
    found = compare([run])["runs"]["d3gan"][0]
    assert found.pop("chosen") == pytest.approx([34 / 46, 12 / 46])
    assert found.pop("selection_entropy") == pytest.approx(
        -(34 / 46) * math.log2(34 / 46) - 12 / 46 * math.log2(12 / 46)
    )
    assert found == {
        "path": str(run.path),
        "name": "d3gan-seed-5",
        "seed": 5,
        "status": "finished",
        "images": 400,
        "steps": 40,
        "train_seconds": 47.0,
        "flops": 80_000.0,
        "best": {"value": 3.0, "images": 400, "seconds": 40.0, "flops": 80_000.0},
        "images_per_second": 400 / 47,
        "epoch_seconds": 47 / 4,
        "peak_memory_bytes": 9,
        "utilisation": pytest.approx((0.5 * 2 + 1.0 * 4) / 6),
    }


def test_rules_that_mix_choose_none(studio: Studio) -> None:
    run = studio.run("d3gan", 0, FALLING)
    row = {"kind": "train", "step": 40, "images": 400, "epoch": 4.0, "train_seconds": 41.0}
    studio.append(run, {**row, "chosen": None})
    found = compare([run])["runs"]["d3gan"][0]
    assert (found["chosen"], found["selection_entropy"]) == (None, None)


def test_values_that_are_no_numbers_are_no_points(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, FALLING) for s in (0, 1)]
    runs.append(studio.run("d3gan", 0, [4.0, math.nan, 2.0, math.inf]))
    runs.append(studio.run("d3gan", 1, [math.nan] * 4, modes=[math.nan] * 4))
    found = compare(runs)
    assert found["at"]["images"] == 400
    assert found["methods"]["d3gan"]["fd"]["seeds"] == 0
    assert found["curves"]["d3gan"]["runs"][0]["values"] == [4.0, 2.0]
    assert found["time_to_target"]["d3gan"]["reached"] == 1


@pytest.mark.parametrize(("key", "value"), [("generated_images", 200), ("real_sha256", "cc")])
def test_contracts_that_differ_are_refused_by_name(studio: Studio, key: str, value: Any) -> None:
    runs = [studio.run("dcgan", s, FALLING) for s in (0, 1)]
    runs.append(studio.run("d3gan", 0, FALLING, contract={**CONTRACT, key: value}))
    with pytest.raises(UserError) as caught:
        compare(runs)
    message = f"{runs[0].path} and {runs[2].path} cannot be compared: their metrics differ in {key}"
    assert str(caught.value).startswith(message)


def test_mistakes_are_named(studio: Studio, tmp_path: Path) -> None:
    good, other = studio.run("dcgan", 0, FALLING), studio.run("d3gan", 0, FALLING)
    mistakes: list[tuple[str, list[RunFolder], dict[str, str]]] = [
        ("there are no runs", [], {}),
        ("there is no run at", [RunFolder(tmp_path / "nowhere")], {}),
        ("does not hold the metric 'fdd' .did you mean 'fd'", [good], {"metric": "fdd"}),
        ("no method 'd3gam' .did you mean 'd3gan'", [good, other], {"baseline": "d3gam"}),
        ("same method with the same seed 0", [good, RunFolder(good.path)], {}),
        ("has no evaluation .* let it go on", [good, studio.run("new", 0, [])], {}),
        (
            r"has no evaluation .* --eval\.every-epochs",
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
    with pytest.raises(UserError, match="at step 10 lacks 'protocol'; mend"):
        compare([good, asks])


def test_other_hardware_is_told(studio: Studio) -> None:
    runs = [studio.run("dcgan", 0, FALLING), studio.run("d3gan", 0, FALLING)]
    runs[1].environment_file.write_text('[{"gpus": ["slide rule"], "processes": 2}]')
    assert compare(runs)["warnings"] == [
        "runs were made on different hardware, so that their seconds say little: "
        "2 processes on slide rule; abacus"
    ]


def test_several_methods_have_a_sentence_each(studio: Studio) -> None:
    runs = [studio.run(m, s, FALLING) for m in ("dcgan", "d3gan", "two-d3gan") for s in (0, 1)]
    for run in runs[4:]:
        config = configs.from_dict({"gan": {"aggregation": "max"}}, configs.from_dict(run.config()))
        run.config_file.write_text(configs.to_toml(config))
    found = compare(runs)
    assert list(found["verdicts"]) == ["d3gan", "two-d3gan"]
    assert found["verdict"].startswith(" ".join(found["verdicts"].values()))
    assert found["verdict"].endswith("not for all of them together.")
    assert found["differences"]["two-d3gan"]["gan.aggregation"] == ["original", "max"]


@pytest.mark.parametrize(
    ("runs", "common"),
    [
        ([("mnist-d3gan-seed-0", 0), ("mnist-d3gan-seed-1", 1)], "mnist-d3gan"),
        ([("mnist-dcgan-0", 0)], "mnist-dcgan"),
        ([("cifar10", 0)], "cifar10"),
        ([("cifar10-a", 0), ("cifar10-b", 1)], "cifar10"),
        ([("run10", 3), ("run11", 4)], "run"),
        ([("a", 0), ("b", 1)], "a"),
        ([("3", 3)], "3"),
        ([("x-train.batch_size-64-seed-12", 12)], "x-train.batch_size-64"),
    ],
)
def test_the_name_of_a_method(runs: list[tuple[str, int]], common: str) -> None:
    assert common_name(runs) == common


def test_methods_of_one_name_are_told_apart(tmp_path: Path) -> None:
    first, second = Studio(tmp_path / "first"), Studio(tmp_path / "second")
    larger = {"model": {"generator_width": 128}}
    found = compare([first.run("a", 0, FALLING), second.run("a", 0, FALLING, config=larger)])
    assert list(found["methods"]) == ["a", "a (2)"]


def test_what_changes_nothing_makes_no_other_method(studio: Studio) -> None:
    runs = [studio.run("dcgan", 0, FALLING)]
    runs.append(studio.run("dcgan", 1, FALLING, config={"train": {"log_every_steps": 7}}))
    assert list(compare(runs)["methods"]) == ["dcgan"]


@settings(max_examples=20)
@given(
    times=st.lists(st.floats(0.01, 100.0), min_size=2, max_size=5, unique=True),
    random=st.randoms(use_true_random=False),
)
def test_the_order_of_runs_changes_no_number(
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


def test_numbers_in_words() -> None:
    assert [told(x) for x in (1.0, 1.0004, 0.996, 0.5, 12.345, 0.0123, 4567.0)] == [
        *["1.00", "1.0004", "0.996", "0.50", "12.35", "0.0123", "4.57e+03"]
    ]


@pytest.mark.usefixtures("quick_classifier")
def test_runs_that_were_really_trained(measured: Config) -> None:
    runs = []
    for name, discriminators in (("dcgan", 1), ("d3gan", 2)):
        sections = {"name": f"{name}-seed-0", "gan": {"discriminators": discriminators}}
        runs.append(train(configs.from_dict(sections, measured)))
    found = comparison.compare(runs)
    assert list(found["methods"]) == ["dcgan", "d3gan"]
    assert list(found["methods"]["d3gan"])[:3] == ["fd", "cs", "kid"]
    assert found["at"]["images"] == 400
    for method in found["runs"].values():
        assert method[0]["status"] in ("finished", "collapsed")
    d3gan, dcgan = (found["runs"][name][0]["flops"] for name in ("d3gan", "dcgan"))
    assert dcgan < d3gan < 2 * dcgan
    assert found["differences"] == {"d3gan": {"gan.discriminators": [1, 2]}}
    assert "not shown" in found["verdict"]
