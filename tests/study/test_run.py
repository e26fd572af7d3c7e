"""The grid of runs, for the most part with a small program in the place of d3gan train."""

import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.program import written
from tests.stub import Stub, make_stub

from d3gan import config as configs
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.runs import RunFolder
from d3gan.study import launchers
from d3gan.study.launchers import InJob, LocalLauncher, SubmititLauncher, local_slots
from d3gan.study.plan import PlannedRun, Study
from d3gan.study.run import Entry, remaining_seconds, run_grid, survey
from d3gan.study.run_status import Standing, last_lines, standing
from d3gan.study.study_file import make_study
from d3gan.training.trainer import train


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    return make_stub(tmp_path, monkeypatch)


@pytest.fixture
def study(tiny: Config, tmp_path: Path) -> Study:
    """Runs a-seed-0, b-seed-0, a-seed-1, b-seed-1 of ten steps."""
    files = [str(written(dataclasses.replace(tiny, name=name), tmp_path)) for name in "ab"]
    changes = {"eval.every_epochs": 1, "train.device": "cpu"}
    values = {"methods": files, "seeds": [0, 1], "out_dir": tiny.out_dir, "set": changes}
    return make_study(values)


ONE = LocalLauncher([{}])


def states(entries: Sequence[Entry]) -> list[str]:
    return [entry.state for entry in entries]


def test_one_slot_one_run_at_a_time_in_order(stub: Stub, study: Study) -> None:
    entries = survey(study)
    assert states(entries) == ["waiting"] * 4
    assert run_grid(entries, ONE) == 0
    assert states(entries) == ["finished"] * 4
    assert stub.events() == [(e, run.name) for run in study.runs for e in ("begins", "ends")]
    found = entries[0].standing
    assert (found.state, found.step, found.total, found.share) == ("finished", 10, 10, 1.0)
    assert (found.metric, found.value, found.seconds) == ("fd", 9.5, 11.0)


def test_several_slots_several_runs_at_once_each_with_its_environment(
    stub: Stub, study: Study
) -> None:
    stub.does({"a-seed-0": "meet", "b-seed-0": "meet"})  # neither ends before both have begun
    entries = survey(study)
    assert run_grid(entries, LocalLauncher([{"WHERE": "0"}, {"WHERE": "1"}])) == 0
    assert states(entries) == ["finished"] * 4
    begun = {name: variables["WHERE"] for event, name, _, variables in stub.journal()}
    assert {begun["a-seed-0"], begun["b-seed-0"]} == {"0", "1"}


def test_what_is_finished_is_skipped_and_what_was_interrupted_goes_on(
    stub: Stub, study: Study
) -> None:
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
    assert entries[2].standing.share == 0.5
    assert run_grid(entries, ONE) == 0
    assert [name for _, name in stub.events()[before:]] == ["a-seed-1"] * 2 + ["b-seed-1"] * 2
    goes_on = stub.journal()[before][2]
    assert goes_on == ["train", str(study.runs[2].folder.path)]


def test_ctrl_c_reaches_the_runs_and_nothing_else_is_started(stub: Stub, study: Study) -> None:
    stub.does({run.name: "wait" for run in study.runs})
    entries = survey(study)

    def stop(entries: Sequence[Entry]) -> None:
        if len(stub.events()) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    assert run_grid(entries, LocalLauncher([{}, {}]), stop) == signal.SIGINT
    assert states(entries) == ["stopped", "stopped", "waiting", "waiting"]
    assert [event for event, _ in stub.events()[2:]] == [f"received {int(signal.SIGINT)}"] * 2


def test_a_fault_of_ours_ends_the_runs(stub: Stub, study: Study) -> None:
    stub.does({run.name: "wait" for run in study.runs})

    def fail(entries: Sequence[Entry]) -> None:
        if stub.events():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_grid(survey(study), ONE, fail)
    assert [event for event, _ in stub.events()] == ["begins", f"received {int(signal.SIGTERM)}"]


def test_one_that_fails_does_not_end_the_others_and_is_tried_again(
    stub: Stub, study: Study
) -> None:
    stub.does({"a-seed-0": "fail"})
    entries = survey(study)
    assert run_grid(entries, ONE) == 0
    assert states(entries) == ["failed", "finished", "finished", "finished"]
    assert entries[0].why == "d3gan: error: it cannot be done"
    assert last_lines(entries[0].run.log) == ["d3gan: error: it cannot be done"]
    stub.does({})
    entries = survey(study)
    assert run_grid(entries, ONE) == 0
    assert states(entries) == ["finished"] * 4


@pytest.mark.parametrize("how", ["diverge", "diverge by row"])
def test_diverged_runs_are_done(stub: Stub, study: Study, how: str) -> None:
    stub.does({"b-seed-0": how})
    entries = survey(study)
    assert run_grid(entries, ONE) == 0
    assert states(entries) == ["finished", "diverged", "finished", "finished"]
    stub.does({"b-seed-0": "fail"})
    entries = survey(study)
    assert states(entries) == ["finished", "diverged", "finished", "finished"]
    assert run_grid(entries, ONE) == 0
    assert len(stub.events()) == 7


def test_a_run_that_was_taken_away_starts_anew(stub: Stub, study: Study) -> None:
    stub.does({"b-seed-0": "diverge"})
    run_grid(survey(study), ONE)
    run = study.runs[1]
    run.folder.path.rename(run.folder.path.with_name("away"))
    stub.does({"b-seed-0": "fail"})
    entries = survey(study)
    assert entries[1].state == "waiting"
    run_grid(entries, ONE)
    assert entries[1].state == "failed"
    assert last_lines(run.log) == ["d3gan: error: it cannot be done"]


def test_a_run_that_another_process_writes_is_waited_for(stub: Stub, study: Study) -> None:
    stub.does({"b-seed-0": "wait"})
    entries = survey(study)
    for entry in entries:
        entry.run.log.parent.mkdir(parents=True, exist_ok=True)
        entry.run.plan_file.parent.mkdir(parents=True, exist_ok=True)
        entry.run.plan_file.write_text(configs.to_toml(entry.run.config))
    job = ONE.start(study.runs[1], 0)
    seen = set()

    def watch(entries: Sequence[Entry]) -> None:
        seen.add(entries[1].state)
        if entries[1].state == "elsewhere":
            assert states(entries) == ["waiting", "elsewhere", "waiting", "waiting"], "its slot"
            stub.does({})
            job.stop(signal.SIGTERM)  # stops half way: the grid goes on with it
        job.poll()

    deadline = time.monotonic() + 20
    while not stub.events() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert run_grid(survey(study), ONE, watch) == 0
    assert "elsewhere" in seen
    assert states(survey(study)) == ["finished"] * 4


def test_a_left_over_process_that_begins_at_the_same_moment(
    stub: Stub, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours finds the folder taken, though it was free when we looked."""
    stub.does({"a-seed-0": "wait"})
    entries = survey(study)
    start = launchers._popen
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

    monkeypatch.setattr(launchers, "_popen", after_another)
    assert run_grid(entries, ONE, watch) == 0
    assert states(entries) == ["finished"] * 4
    assert others[0].poll() == 128 + signal.SIGTERM


def test_another_run_than_planned_is_refused_before_anything_starts(
    stub: Stub, study: Study
) -> None:
    last = study.runs[-1]
    other = configs.from_dict({"gan": {"r1_gamma": 0.25}}, last.config)
    last.folder.begin(configs.to_toml(other), {})
    with pytest.raises(UserError, match=r"gan\.penalties is \('r1\(gamma=0\.25\)',\) there"):
        survey(study)
    assert stub.events() == []


# Slots


def test_slots_on_cuda_devices(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def devices(jobs: int) -> list[str]:
        return [slot["CUDA_VISIBLE_DEVICES"] for slot in local_slots(jobs, [tiny])]

    assert devices(0) == ["0", "1"]
    assert devices(1) == ["0"]
    assert devices(3) == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert devices(0) == ["5", "7"]
    on_cpu = configs.from_dict({"train": {"device": "cpu"}}, tiny)
    assert local_slots(0, [on_cpu]) == [{}]


def test_slots_on_the_cpu_share_its_threads(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert local_slots(0, [tiny]) == [{}]
    assert local_slots(3, [tiny]) == [{"OMP_NUM_THREADS": "2"}] * 3
    assert local_slots(99, [tiny])[0] == {"OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert local_slots(2, [tiny]) == [{"OMP_NUM_THREADS": "4"}] * 2


# Remaining time


def entry(method: str, share: float, seconds: float, state: Any = "running") -> Entry:
    run = PlannedRun(method, Config())
    return Entry(run, "", Standing("unfinished", share=share, seconds=seconds), state)


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


# How far a run is


def test_a_trained_run_is_finished(measured: Config, quick_classifier: None) -> None:
    run, log = train(measured), Path("no.log")
    found = standing(run, measured, "", log)
    assert (found.state, found.step, found.total, found.share) == ("finished", 8, 8, 1.0)
    assert (found.metric, found.value) == ("fd", run.metrics()[-1]["fd"])
    assert standing(run, measured, "kid", log).value == run.metrics()[-1]["kid"]
    longer = configs.from_dict({"train": {"epochs": 4.0}}, measured)
    found = standing(run, longer, "", log)
    assert (found.state, found.total, found.share) == ("unfinished", 16, 0.5)


@pytest.mark.parametrize("lost", ["checkpoint", "last evaluation", "rows", "metrics.jsonl"])
def test_a_run_that_lacks_something_at_its_end_is_not(
    measured: Config, quick_classifier: None, lost: str
) -> None:
    run = train(measured)
    rows = run.metrics()
    if lost == "checkpoint":
        run.checkpoint_file(8).unlink()
    else:
        kept = {"last evaluation": -1, "rows": -3, "metrics.jsonl": 0}[lost]
        run.metrics_file.unlink()
        run.append_metrics(rows[:kept])
    assert standing(run, measured, "", Path("no.log")).state == "unfinished"


def test_a_run_that_patience_ended_is_finished(measured: Config, quick_classifier: None) -> None:
    config = configs.from_dict(
        {"optim": {"lr_g": 1e-12, "lr_d": 1e-12}, "eval": {"patience": 2}, "train": {"epochs": 9}},
        measured,
    )
    run = train(config)
    assert run.metrics()[-1]["step"] < 36
    found = standing(run, config, "", Path("no.log"))
    assert (found.state, found.share) == ("finished", 1.0)
    patient = configs.from_dict({"eval": {"patience": 99}}, config)
    assert standing(run, patient, "", Path("no.log")).state == "unfinished"


def test_nothing_there_and_nothing_done(tiny: Config) -> None:
    run = RunFolder(tiny.run_dir)
    assert standing(run, tiny, "", Path("no.log")) == Standing()
    run.begin(configs.to_toml(tiny), {})
    assert standing(run, tiny, "", Path("no.log")) == Standing("unfinished")


# Clusters

linux = pytest.mark.skipif(sys.platform != "linux", reason="submitit wants Linux")


@pytest.mark.slow
@linux
def test_runs_through_submitit(stub: Stub, study: Study, tmp_path: Path) -> None:
    stub.does({"b-seed-0": "fail"})
    entries = survey(study)[:3]
    launcher = SubmititLauncher("local", tmp_path / "submitit", 3, {"partition": "gpu"})
    assert run_grid(entries, launcher) == 0
    assert states(entries) == ["finished", "failed", "finished"]
    assert entries[1].why == "d3gan: error: it cannot be done"


@linux
def test_jobs_of_submitit_are_stopped(stub: Stub, study: Study, tmp_path: Path) -> None:
    stub.does({"a-seed-0": "wait"})
    entries = survey(study)[:1]

    def stop(entries: Sequence[Entry]) -> None:
        if len(stub.events()) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    launcher = SubmititLauncher("local", tmp_path / "submitit", 1, {})
    assert run_grid(entries, launcher, stop) == signal.SIGTERM
    assert states(entries) == ["stopped"]
    assert entries[0].standing.step == 5, "it was saved before the grid ended"


class FakeJob:
    """A job of a Slurm that is not there."""

    def __init__(self, folder: Path, job_id: str) -> None:
        self.job_id = job_id

    def get_info(self, mode: str) -> dict[str, str]:
        return {"State": "PENDING"} if self.job_id == "41" else {}

    def done(self, force_check: bool = False) -> bool:
        return self.job_id != "41"


class FakeExecutor:
    """Remembers what it was given."""

    submitted: list[Any]
    parameters: dict[str, Any]

    def __init__(self, folder: Path, cluster: str) -> None:
        assert cluster == "slurm"
        folder.mkdir(parents=True)
        FakeExecutor.submitted = []

    def update_parameters(self, **parameters: Any) -> None:
        FakeExecutor.parameters = parameters

    def submit(self, function: Callable[[], int]) -> FakeJob:
        FakeExecutor.submitted.append(function)
        return FakeJob(Path(), "42")


def test_jobs_of_slurm_have_its_parameters_and_are_found_again(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import submitit

    monkeypatch.setattr(submitit, "AutoExecutor", FakeExecutor)
    monkeypatch.setattr(submitit, "SlurmJob", FakeJob)
    folder = tmp_path / "jobs"
    launcher = SubmititLauncher("slurm", folder, 4, {"partition": "gpu", "gpus_per_node": 1})
    launcher.start(study.runs[0], 0)
    assert FakeExecutor.parameters == {
        "name": "a-seed-0",
        "slurm_partition": "gpu",
        "gpus_per_node": 1,
        "timeout_min": 1440,
    }
    (submitted,) = FakeExecutor.submitted
    assert isinstance(submitted, InJob)
    assert submitted.run == study.runs[0]
    assert (folder / "a-seed-0.job").read_text() == "42"
    launcher.start(study.runs[0], 0)
    assert len(FakeExecutor.submitted) == 2, "the first is no longer in the queue"
    (folder / "a-seed-0.job").write_text("41")
    assert launcher.start(study.runs[0], 0).poll() is None
    assert len(FakeExecutor.submitted) == 2


def test_mistakes_about_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"slurm: Unknown argument 'partion'"):
        SubmititLauncher("local", tmp_path, 1, {"partion": "gpu"})
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"--launcher slurm: .*; is this a machine of Slurm's\?"):
        SubmititLauncher("slurm", tmp_path, 1, {})
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"needs submitit: pip install 'd3gan\[slurm\]'"):
        SubmititLauncher("slurm", tmp_path, 1, {})


@linux
def test_a_job_whose_time_is_up_saves_and_is_queued_again(stub: Stub, study: Study) -> None:
    stub.does({"a-seed-0": "wait"})
    entries = survey(study)[:1]
    job = InJob(study.runs[0])
    job.run.log.parent.mkdir(parents=True)
    job.run.plan_file.parent.mkdir(parents=True)
    job.run.plan_file.write_text(configs.to_toml(job.run.config))
    thread = threading.Thread(target=job)
    thread.start()
    while not stub.events():
        time.sleep(0.02)
    again = job.checkpoint()
    thread.join()
    entries[0].settle()
    assert entries[0].standing.step == 5
    stub.does({})
    assert again.function() == 0
    entries[0].settle()
    assert entries[0].state == "finished"
