"""Training of a study's runs, with a small program in the place of d3gan train."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.stub import Stub

from d3gan import config as configs
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.run_status import Status
from d3gan.study import launchers
from d3gan.study.launchers import LocalLauncher
from d3gan.study.plan import PlannedRun, Study
from d3gan.study.run import Entry, State, last_line, remaining_seconds, run_grid, survey

ONE = LocalLauncher([{}])


def states(entries: Sequence[Entry]) -> list[str]:
    return [entry.state for entry in entries]


def test_one_slot_one_run_at_a_time_in_order(stub: Stub, study: Study) -> None:
    entries = survey(study)
    assert states(entries) == ["waiting"] * 4
    assert run_grid(entries, ONE) == 0
    assert states(entries) == ["finished"] * 4
    assert stub.events() == [(e, run.name) for run in study.runs for e in ("begins", "ends")]
    first = entries[0]
    assert (first.step, first.total_steps, first.share) == (10, 10, 1.0)
    assert (first.value, first.seconds) == (("fd", 9.5), 11.0)


def test_several_slots_several_runs_at_once_each_with_its_environment(
    stub: Stub, study: Study
) -> None:
    stub.does({"a-seed-0": "meet", "b-seed-0": "meet"})  # neither ends before both have begun
    entries = survey(study)
    assert run_grid(entries, LocalLauncher([{"WHERE": "0"}, {"WHERE": "1"}])) == 0
    assert states(entries) == ["finished"] * 4
    begun = {name: variables["WHERE"] for event, name, _, variables in stub.journal()}
    assert {begun["a-seed-0"], begun["b-seed-0"]} == {"0", "1"}


def test_finished_runs_are_skipped_and_interrupted_runs_continue(stub: Stub, study: Study) -> None:
    entries = survey(study)
    stub.does({"a-seed-1": "wait"})

    def stop(entries: Sequence[Entry]) -> None:
        if ("begins", "a-seed-1") in stub.events():
            os.kill(os.getpid(), signal.SIGTERM)

    assert run_grid(entries, ONE, stop) == signal.SIGTERM
    assert states(entries) == ["finished", "finished", "stopped", "waiting"]
    assert (f"received {int(signal.SIGTERM)}", "a-seed-1") in stub.events()
    before = len(stub.events())
    stub.does({})
    entries = survey(study)
    assert states(entries) == ["finished", "finished", "waiting", "waiting"]
    assert entries[2].share == 0.5
    assert run_grid(entries, ONE) == 0
    assert [name for _, name in stub.events()[before:]] == ["a-seed-1"] * 2 + ["b-seed-1"] * 2
    continued = stub.journal()[before][2]
    assert continued == ["train", str(study.runs[2].folder.path)]


def test_ctrl_c_stops_the_runs_and_starts_no_others(stub: Stub, study: Study) -> None:
    stub.does({run.name: "wait" for run in study.runs})
    entries = survey(study)

    def stop(entries: Sequence[Entry]) -> None:
        if len(stub.events()) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    assert run_grid(entries, LocalLauncher([{}, {}]), stop) == signal.SIGINT
    assert states(entries) == ["stopped", "stopped", "waiting", "waiting"]
    assert [event for event, _ in stub.events()[2:]] == [f"received {int(signal.SIGINT)}"] * 2


def test_an_error_of_this_program_ends_the_runs(stub: Stub, study: Study) -> None:
    stub.does({run.name: "wait" for run in study.runs})

    def fail(entries: Sequence[Entry]) -> None:
        if stub.events():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_grid(survey(study), ONE, fail)
    assert [event for event, _ in stub.events()] == ["begins", f"received {int(signal.SIGTERM)}"]


def test_a_failure_does_not_end_the_others_and_is_tried_again(stub: Stub, study: Study) -> None:
    stub.does({"a-seed-0": "fail"})
    entries = survey(study)
    assert run_grid(entries, ONE) == 0
    assert states(entries) == ["failed", "finished", "finished", "finished"]
    assert entries[0].message == "it cannot be done", "that of its status"
    stub.does({})
    entries = survey(study)
    assert run_grid(entries, ONE) == 0
    assert states(entries) == ["finished"] * 4


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("refuse", "d3gan: error: unknown key"),
        ("end", "ended with exit status 0"),
        pytest.param(
            "kill",
            "ended by signal 9",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="kills by a signal"),
        ),
    ],
)
def test_a_process_that_ends_without_a_status_has_failed(
    stub: Stub, study: Study, how: str, message: str
) -> None:
    stub.does({"a-seed-0": how})
    entries = survey(study)
    assert run_grid(entries, ONE) == 0
    assert states(entries) == ["failed", "finished", "finished", "finished"]
    assert entries[0].message == message


def test_the_status_of_an_earlier_failure_does_not_explain_the_next(
    stub: Stub, study: Study
) -> None:
    stub.does({"a-seed-0": "fail"})
    run_grid(survey(study), ONE)
    stub.does({"a-seed-0": "refuse"})
    entries = survey(study)
    run_grid(entries, ONE)
    assert (entries[0].state, entries[0].message) == ("failed", "d3gan: error: unknown key")


def test_diverged_runs_are_done(stub: Stub, study: Study) -> None:
    stub.does({"b-seed-0": "diverge"})
    entries = survey(study)
    assert run_grid(entries, ONE) == 0
    assert states(entries) == ["finished", "diverged", "finished", "finished"]
    assert entries[1].message == "loss_g is not finite"
    stub.does({"b-seed-0": "fail"})
    entries = survey(study)
    assert states(entries) == ["finished", "diverged", "finished", "finished"]
    assert run_grid(entries, ONE) == 0
    assert len(stub.events()) == 7


def test_a_run_that_was_moved_away_starts_again(stub: Stub, study: Study) -> None:
    stub.does({"b-seed-0": "diverge"})
    run_grid(survey(study), ONE)
    run = study.runs[1]
    run.folder.path.rename(run.folder.path.with_name("away"))
    stub.does({"b-seed-0": "fail"})
    entries = survey(study)
    assert entries[1].state == "waiting"
    run_grid(entries, ONE)
    assert entries[1].state == "failed"
    assert run.log.read_text().splitlines() == ["d3gan: error: this line is not read"]


def test_a_run_that_another_process_trains_is_waited_for(stub: Stub, study: Study) -> None:
    stub.does({"b-seed-0": "wait"})
    job = ONE.start(study.runs[1], 0)
    seen = set()

    def watch(entries: Sequence[Entry]) -> None:
        seen.add(entries[1].state)
        if entries[1].state == "elsewhere":
            assert states(entries) == ["waiting", "elsewhere", "waiting", "waiting"], "its slot"
            stub.does({})
            job.stop(signal.SIGTERM)  # half way: the study continues it
        job.poll()

    deadline = time.monotonic() + 20
    while not stub.events() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert run_grid(survey(study), ONE, watch) == 0
    assert "elsewhere" in seen
    assert states(survey(study)) == ["finished"] * 4


def test_another_process_that_begins_a_run_at_the_same_moment(
    stub: Stub, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The study's process finds the folder locked, although it was free before."""
    stub.does({"a-seed-0": "wait"})
    entries = survey(study)
    start = launchers._start
    others: list[Any] = []

    def after_another(program: Any, run: PlannedRun, variables: dict[str, str]) -> Any:
        if run.name == "a-seed-0" and not others:
            others.append(start(program, run, variables))
            while not stub.events():
                time.sleep(0.02)
        return start(program, run, variables)

    def watch(entries: Sequence[Entry]) -> None:
        if entries[0].state == "elsewhere":
            stub.does({})
            others[0].terminate()
            others[0].wait()

    monkeypatch.setattr(launchers, "_start", after_another)
    assert run_grid(entries, ONE, watch) == 0
    assert states(entries) == ["finished"] * 4
    assert others[0].poll() == 128 + signal.SIGTERM


def test_another_run_than_planned_is_refused_before_anything_starts(
    stub: Stub, study: Study
) -> None:
    last = study.runs[-1]
    other = configs.from_dict({"gan": {"r1_gamma": 0.25}}, last.config)
    last.folder.begin(configs.to_toml(other), {})
    with pytest.raises(UserError, match=r"its gan\.penalties is \('r1\(gamma=0\.25\)',\), the"):
        survey(study)
    assert stub.events() == []


# Remaining time


def entry(method: str, share: float, seconds: float, state: State = "running") -> Entry:
    status = Status("running", round(100 * share), 100, seconds, 1, "here", "", None)
    return Entry(PlannedRun(method, Config()), 100, state=state, status=status, seconds=seconds)


def test_remaining_time_is_by_method_and_by_the_mean_where_nothing_is_known() -> None:
    entries = [
        entry("a", 1.0, 100.0, "finished"),
        entry("a", 0.0, 0.0, "waiting"),
        entry("b", 0.5, 100.0),
        entry("c", 0.0, 0.0, "waiting"),
        entry("a", 0.5, 50.0, "failed"),
    ]
    assert remaining_seconds(entries, 1) == pytest.approx(100 + 100 + 150)
    assert remaining_seconds(entries, 2) == pytest.approx(175)
    assert remaining_seconds(entries, 99) == pytest.approx(150), "no less than the longest run"
    assert remaining_seconds(entries[:1], 1) == 0
    assert remaining_seconds([entry("a", 0.0, 0.0, "waiting")], 1) is None


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert last_line(log) == ""
    log.write_text("first\nlast\n \n")
    assert last_line(log) == "last"


def test_a_run_that_stopped_early_is_finished_and_its_share_complete(
    stub: Stub, study: Study
) -> None:
    run = study.runs[0]
    run.folder.begin(configs.to_toml(run.config), {})
    run.folder.write_status(Status("stopped_early", 4, 10, 4.0, 1, "here", "no gain", 1.0))
    first = survey(study)[0]
    assert (first.state, first.step, first.share) == ("finished", 4, 1.0)


def test_a_damaged_run_fails_and_the_others_are_trained(stub: Stub, study: Study) -> None:
    entries = survey(study)
    run = study.runs[0]
    run.folder.begin(configs.to_toml(run.config), {})
    run.folder.status_file.write_text("{}")
    assert run_grid(entries, ONE) == 0
    assert states(entries) == ["failed", "finished", "finished", "finished"]
    assert "status.json is damaged" in entries[0].message
