"""Single runs as a comparison reads them."""

import math

import pytest
from tests.study.made_up_runs import FALLING, PROTOCOL, Studio, compare

from d3gan.report import wording
from d3gan.study.records import AXES, load


def test_the_outcome_of_a_run_follows_from_its_status(studio: Studio) -> None:
    modes = {"modes": [3, 4, 10, 10]}
    known = {**PROTOCOL, "real_modes": 10}
    runs = [
        studio.run("dcgan", 0, FALLING, **modes),
        studio.run("dcgan", 1, FALLING, modes=[9, 10, 9, 4], protocol=known),
        studio.run("dcgan", 2, FALLING[:2], epochs=4, modes=[9, 9]),
        studio.run("dcgan", 3, [3.0, 3.0, 3.0], epochs=4, modes=[1, 9, 10],
                   config={"eval": {"patience": 2}}, state="stopped_early"),
        studio.run("dcgan", 4, FALLING[:3], epochs=4, state="failed"),
        studio.run("dcgan", 5, FALLING[:3], epochs=4, state="running"),  # nobody holds its lock
    ]  # fmt: skip
    found = compare(runs)
    assert list(found["runs"]) == ["dcgan"]
    assert [run["status"] for run in found["runs"]["dcgan"]] == [
        *["finished", "collapsed", "unfinished", "finished", "unfinished", "unfinished"]
    ]
    assert found["at"]["images"] == 200
    assert found["configs"]["dcgan"]["eval.patience"] == "0, 2"


def test_the_summary_of_a_run(studio: Studio) -> None:
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
        "state": "finished",
        "total_steps": 40,
        "message": "",
        "status": "finished",
        "images": 400,
        "steps": 40,
        "train_seconds": 47.0,
        "flops": 80_000.0,
        "reported": None,
        "best": {"value": 3.0, "seconds": 40.0, "images": 400, "steps": 40, "flops": 80_000.0},
        "images_per_second": 400 / 47,
        "epoch_seconds": 47 / 4,
        "peak_memory_bytes": 9,
        "utilisation": pytest.approx((0.5 * 2 + 1.0 * 4) / 6),
    }


def test_rules_that_mix_select_no_discriminator(studio: Studio) -> None:
    run = studio.run("d3gan", 0, FALLING)
    row = {"kind": "train", "step": 40, "images": 400, "epoch": 4.0, "train_seconds": 41.0}
    studio.append(run, {**row, "chosen": None})
    found = compare([run])["runs"]["d3gan"][0]
    assert (found["chosen"], found["selection_entropy"]) == (None, None)


def test_values_that_are_not_finite_are_not_points(studio: Studio) -> None:
    runs = [studio.run("dcgan", s, FALLING) for s in (0, 1)]
    runs.append(studio.run("d3gan", 0, [4.0, math.nan, 2.0, math.inf]))
    runs.append(studio.run("d3gan", 1, [math.nan] * 4, modes=[math.nan] * 4))
    found = compare(runs)
    assert found["at"]["images"] == 400
    assert found["methods"]["d3gan"]["fd"]["seeds"] == 0
    assert found["curves"]["d3gan"]["runs"][0]["values"] == [4.0, 2.0]
    times = found["judgement"]["groups"][0]["times"]["d3gan"]["images"]["1.25"]
    assert [time["reached"] is None for time in times] == [False, True]


def test_what_is_reported_of_a_run_is_its_last_row_of_that_kind(studio: Studio) -> None:
    run = studio.run("dcgan", 0, FALLING)
    for value in (3.5, 3.25):
        row = {"kind": "report", "step": 40, "images": 400, "epoch": 4.0, "train_seconds": 40.0}
        more = {"fd": value, "fd_stderr": 0.1, "draws": 3, "protocol": {**PROTOCOL, "seed": 1}}
        studio.append(run, {**row, **more})
    found = compare([run])
    summary = found["runs"]["dcgan"][0]
    assert summary["reported"] == {"fd": 3.25, "fd_stderr": 0.1, "draws": 3}
    assert summary["best"]["value"] == 3.0
    assert found["judgement"]["left_out"] == []


def test_the_clocks_of_a_run_have_one_order_everywhere() -> None:
    assert list(AXES) == list(wording.AXES) == ["seconds", "images", "steps", "flops"]


def test_the_initial_generator_is_known_and_no_point_of_the_curve(studio: Studio) -> None:
    run = studio.run("dcgan", 0, FALLING)
    assert load(run).initial is None
    row = {"kind": "eval", "step": 0, "images": 0, "epoch": 0.0, "train_seconds": 0.0, "fd": 1.0}
    studio.append(run, {**row, "monitor": "fd", "protocol": PROTOCOL})
    record = load(run)
    assert record.initial is not None
    assert record.initial["fd"] == 1.0
    assert record.curve("fd").values == FALLING
