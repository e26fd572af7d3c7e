"""Where runs are started: slots of this machine, and jobs of a cluster."""

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
from tests.stub import Stub

from d3gan import config as configs
from d3gan.cli.parsing import parse
from d3gan.cli.train import Train
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.study import launchers
from d3gan.study.launchers import InJob, SubmititLauncher, local_slots
from d3gan.study.plan import PlannedRun, Study
from d3gan.study.run import Entry, run_grid, survey

# Commands


def test_a_new_run_starts_from_its_plan_and_an_existing_one_continues_with_its_changes(
    tiny: Config,
) -> None:
    run = PlannedRun("tiny", tiny)
    assert launchers._arguments(run) == ["train", str(run.plan_file)]
    run.folder.begin(configs.to_toml(tiny), {})
    assert launchers._arguments(run) == ["train", str(run.folder.path)]
    changes = {"train": {"epochs": 3, "deterministic": True}, "data": {"resident": "always"}}
    other = configs.from_dict(changes, tiny)
    command, folder, *flags = launchers._arguments(PlannedRun("tiny", other))
    assert (command, folder) == ("train", str(run.folder.path))
    assert set(flags) == {
        *("--train.epochs=3.0", "--train.deterministic", "--data.resident=always")
    }
    assert parse(Train, flags, "train", Train(tiny)).config == other


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
    monkeypatch.setattr(launchers, "usable_cpus", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert local_slots(0, [tiny]) == [{}]
    assert local_slots(3, [tiny]) == [{"OMP_NUM_THREADS": "2"}] * 3
    assert local_slots(99, [tiny])[0] == {"OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert local_slots(2, [tiny]) == [{"OMP_NUM_THREADS": "4"}] * 2


# Clusters

linux = pytest.mark.skipif(sys.platform != "linux", reason="submitit wants Linux")


@pytest.mark.slow
@linux
def test_runs_through_submitit(stub: Stub, study: Study, tmp_path: Path) -> None:
    stub.does({"b-seed-0": "fail"})
    entries = survey(study)[:3]
    launcher = SubmititLauncher("local", tmp_path / "submitit", 3, {"partition": "gpu"})
    assert run_grid(entries, launcher) == 0
    assert [entry.state for entry in entries] == ["finished", "failed", "finished"]
    assert entries[1].message == "it cannot be done"


@linux
def test_jobs_of_submitit_are_stopped(stub: Stub, study: Study, tmp_path: Path) -> None:
    stub.does({"a-seed-0": "wait"})
    entries = survey(study)[:1]

    def stop(entries: Sequence[Entry]) -> None:
        if len(stub.events()) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    launcher = SubmititLauncher("local", tmp_path / "submitit", 1, {})
    assert run_grid(entries, launcher, stop) == signal.SIGTERM
    assert entries[0].state == "stopped"
    assert entries[0].step == 5, "it was saved before the grid ended"


class FakeJob:
    """A job of a Slurm that is not installed."""

    def __init__(self, folder: Path, job_id: str) -> None:
        self.job_id = job_id

    def get_info(self, mode: str) -> dict[str, str]:
        return {"State": "PENDING"} if self.job_id == "41" else {}

    def done(self, force_check: bool = False) -> bool:
        return self.job_id != "41"


class FakeExecutor:
    """Records what it is given."""

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


def test_errors_of_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"slurm: Unknown argument 'partion'"):
        SubmititLauncher("local", tmp_path, 1, {"partion": "gpu"})
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        UserError, match=r"--launcher slurm: .*; is Slurm installed on this machine\?"
    ):
        SubmititLauncher("slurm", tmp_path, 1, {})
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"needs submitit: pip install 'd3gan\[slurm\]'"):
        SubmititLauncher("slurm", tmp_path, 1, {})


@linux
def test_a_job_whose_time_is_up_saves_and_is_queued_again(stub: Stub, study: Study) -> None:
    stub.does({"a-seed-0": "wait"})
    entries = survey(study)[:1]
    job = InJob(study.runs[0])
    thread = threading.Thread(target=job)
    thread.start()
    while not stub.events():
        time.sleep(0.02)
    again = job.checkpoint()
    thread.join()
    entries[0].settle()
    assert entries[0].step == 5
    stub.does({})
    assert again.function() == 0
    entries[0].settle()
    assert entries[0].state == "finished"
