"""Where the processes of a study's runs are started: this machine, or a cluster by submitit."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol

import torch

from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.runs import RunFolder, writing
from d3gan.study.plan import PlannedRun, differences
from d3gan.training.signals import handling

PROGRAM = (sys.executable, "-m", "d3gan")
"""What trains a run."""

SHARED_PARAMETERS = ("timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node")
"""What submitit knows for every kind of cluster; what else there is begins with slurm_ for it."""
TIMEOUT_MIN = 24 * 60
"""Submitit's own default would be five minutes."""


class Job(Protocol):
    """A run that was started."""

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""

    def stop(self, number: int) -> None:
        """Ask it, by this signal, to save and end."""


class Launcher(Protocol):
    """Starts runs, at most `slots` at once."""

    slots: int

    def start(self, run: PlannedRun, slot: int) -> Job: ...


def _arguments(run: PlannedRun) -> list[str]:
    """What begins the run, or goes on with it."""
    if not run.folder.exists():
        return ["train", str(run.plan_file)]
    changes = differences(run)
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in changes.items()]
    return ["train", str(run.folder.path), *flags]


def _popen(
    program: Sequence[str],
    run: PlannedRun,
    environment: Mapping[str, str],
    *,
    new_session: bool = False,
) -> "subprocess.Popen[bytes]":
    begun = run.folder.exists()  # else what the log says is of a run that was taken away
    with writing(run.log), run.log.open("ab" if begun else "wb") as log:
        return subprocess.Popen(
            [*program, *_arguments(run)],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=new_session,
        )


# This machine


class LocalLauncher:
    """Processes of this machine, each in a slot with environment variables of its own."""

    def __init__(self, environments: Sequence[dict[str, str]]) -> None:
        self.environments, self.slots = environments, len(environments)

    def start(self, run: PlannedRun, slot: int) -> Job:
        return _LocalJob(_popen(PROGRAM, run, self.environments[slot]))


class _LocalJob:
    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def stop(self, number: int) -> None:
        with suppress(ValueError):  # Windows passes Ctrl-C on by itself
            self._process.send_signal(number)


def local_slots(jobs: int, configs: Sequence[Config]) -> list[dict[str, str]]:
    """The environment of each of `jobs` runs at once (0: one for each CUDA device, or one).

    Each has a CUDA device where there are some, or else its part of the CPU's threads.
    """
    on_cpu = all(config.train.device == "cpu" for config in configs)
    devices = [] if on_cpu else _cuda_devices()
    if devices:
        count = jobs or len(devices)
        return [{"CUDA_VISIBLE_DEVICES": devices[k % len(devices)]} for k in range(count)]
    if jobs <= 1:
        return [{}]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    return [{"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}] * jobs


def _cuda_devices() -> list[str]:
    """What CUDA_VISIBLE_DEVICES would call each of them."""
    count = torch.cuda.device_count()
    asked = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    return asked[:count] if asked[0] else [str(number) for number in range(count)]


# A cluster


class SubmititLauncher:
    """One job of a cluster for each run; `cluster` local is for tests.

    `parameters` go to submitit's `update_parameters`: its own (timeout_min, mem_gb, nodes,
    cpus_per_task, gpus_per_node) and Slurm's (partition, qos ...). Raises UserError.
    """

    def __init__(
        self,
        cluster: Literal["slurm", "local"],
        folder: Path,
        slots: int,
        parameters: Mapping[str, Any],
    ) -> None:
        self.slots, self._cluster, self._folder = slots, cluster, folder
        try:
            import submitit
        except ImportError:
            raise UserError("--launcher slurm needs submitit: pip install 'd3gan[slurm]'") from None
        self._submitit = submitit
        try:
            self._executor = submitit.AutoExecutor(folder, cluster=cluster)
        except RuntimeError as error:
            raise UserError(f"--launcher slurm: {error}; is this a machine of Slurm's?") from error
        self._parameters = {"timeout_min": TIMEOUT_MIN}
        for key, value in parameters.items():
            self._parameters[key if key in SHARED_PARAMETERS else f"slurm_{key}"] = value
        self._update("d3gan")

    def _update(self, name: str) -> None:
        try:
            self._executor.update_parameters(name=name, **self._parameters)
        except (AssertionError, NameError, TypeError, ValueError) as error:
            raise UserError(f"slurm: {str(error).splitlines()[0]}") from error

    def start(self, run: PlannedRun, slot: int) -> Job:
        ticket = self._folder / f"{run.name}.job"
        if job := self._submitted_before(ticket):
            return _SubmittedJob(job, run.folder)
        self._update(run.name)
        job = self._executor.submit(InJob(run))
        ticket.write_text(job.job_id, encoding="ascii")
        return _SubmittedJob(job, run.folder)

    def _submitted_before(self, ticket: Path) -> Any:
        """The run's job in Slurm's queue, which a compare left there that was killed."""
        if self._cluster != "slurm" or not ticket.exists():
            return None
        job: Any = self._submitit.SlurmJob(self._folder, ticket.read_text(encoding="ascii"))
        gone = job.get_info(mode="force").get("State") is None or job.done(force_check=True)
        return None if gone else job


class InJob:
    """What a job of the cluster does: the run's process, to which signals are passed on."""

    def __init__(self, run: PlannedRun) -> None:
        self.run, self.program = run, PROGRAM

    def __call__(self) -> int:
        def pass_on(number: int, frame: FrameType | None) -> None:
            self._process.send_signal(number)

        # A session of its own: signals come to the run by this process alone.
        self._process = _popen(self.program, self.run, {}, new_session=True)
        with handling([signal.SIGINT, signal.SIGTERM], pass_on):
            return self._process.wait()

    def checkpoint(self) -> Any:
        """Called by submitit when the job's time is up or another one needs its place: save, and
        let the job be queued again."""
        from submitit.helpers import DelayedSubmission

        self._process.terminate()
        self._process.wait()
        return DelayedSubmission(InJob(self.run))


class _SubmittedJob:
    def __init__(self, job: Any, folder: RunFolder) -> None:
        self._job, self._folder = job, folder

    def poll(self) -> int | None:
        # A cancelled job may end before its run has saved.
        if not self._job.done() or self._folder.is_locked():
            return None
        try:
            status: int = self._job.result()
        except Exception:  # whatever ended the job on the cluster's side
            return 1
        return status

    def stop(self, number: int) -> None:
        self._job.cancel(check=False)
