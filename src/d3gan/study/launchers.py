"""Start the processes of a study's runs: on this machine, or on a cluster through submitit."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol

from d3gan.config import Config, to_toml
from d3gan.config_paths import absolute
from d3gan.errors import UserError
from d3gan.files import write_text, writing
from d3gan.machine import usable_cpus
from d3gan.runs import RunFolder
from d3gan.study.plan import PlannedRun, changes
from d3gan.training.parent import launched_by_this_process
from d3gan.training.signals import handling

PROGRAM = (sys.executable, "-m", "d3gan")
"""Program that trains a run."""

SHARED_PARAMETERS = ("timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node")
"""Parameters that submitit accepts for every cluster; the others need the prefix slurm_."""
TIMEOUT_MIN = 24 * 60
"""Default time limit of a job; submitit's own is five minutes."""


class Job(Protocol):
    """The process of a run that was started."""

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal; None while it runs."""

    def stop(self, number: int) -> None:
        """Send a signal that asks it to save and end."""


class Launcher(Protocol):
    """Starts runs, at most `slots` at once."""

    slots: int

    def start(self, run: PlannedRun, slot: int) -> Job:
        """Start a run in a free slot. Raises UserError if it cannot be started."""


def _arguments(run: PlannedRun) -> list[str]:
    """Return the arguments that begin the run or continue it. Raises UserError."""
    if not run.folder.exists():
        return ["train", str(run.plan_file)]
    return ["train", str(run.folder.path), *(_flag(*change) for change in changes(run).items())]


def _flag(key: str, value: Any) -> str:
    *section, name = key.replace("_", "-").split(".")
    if isinstance(value, bool):
        return f"--{'.'.join([*section, name if value else f'no-{name}'])}"
    return f"--{'.'.join([*section, name])}={value}"


def _start(
    program: Sequence[str],
    run: PlannedRun,
    environment: Mapping[str, str],
    *,
    new_session: bool = False,
) -> "subprocess.Popen[bytes]":
    """Start the process that begins or continues the run. Raises UserError if it cannot."""
    begun = run.folder.exists()
    with writing(run.log):
        for file in (run.log, run.plan_file):
            file.parent.mkdir(parents=True, exist_ok=True)
    if not begun:
        write_text(run.plan_file, to_toml(absolute(run.config)))
    # The log of a run that does not exist is that of a run that was removed.
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
    """Starts processes on this machine. Each slot adds its environment variables."""

    def __init__(self, environments: Sequence[dict[str, str]]) -> None:
        self.environments, self.slots = environments, len(environments)

    def start(self, run: PlannedRun, slot: int) -> Job:
        environment = self.environments[slot] | launched_by_this_process()
        return _LocalJob(_start(PROGRAM, run, environment))


class _LocalJob:
    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def stop(self, number: int) -> None:
        with suppress(ValueError):  # on Windows, where Ctrl-C reaches all processes
            self._process.send_signal(number)


def check_jobs(jobs: int) -> None:
    """Raise UserError, before long work, unless `local_slots` takes this number of jobs."""
    if jobs < 0:
        raise UserError(f"jobs = {jobs}: must be at least 1, or 0")


def local_slots(jobs: int, configs: Sequence[Config]) -> list[dict[str, str]]:
    """Return the environment variables of `jobs` simultaneous runs.

    With 0 jobs there is one for each CUDA device, or one on the CPU. Each run gets one CUDA device,
    or its share of the CPU's threads.
    """
    on_cpu = all(config.train.device == "cpu" for config in configs)
    devices = [] if on_cpu else _cuda_devices()
    if devices:
        count = jobs or len(devices)
        return [{"CUDA_VISIBLE_DEVICES": devices[k % len(devices)]} for k in range(count)]
    if jobs <= 1:
        return [{}]
    threads = max(1, usable_cpus() // jobs)
    return [{"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}] * jobs


def _cuda_devices() -> list[str]:
    """Return the devices as they are named in CUDA_VISIBLE_DEVICES."""
    import torch  # takes seconds, and only this function needs it

    count = torch.cuda.device_count()
    asked = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    return asked[:count] if asked[0] else [str(number) for number in range(count)]


# A cluster


class SubmititLauncher:
    """Submits one job for each run; the cluster "local" is for tests.

    `parameters` are those of submitit (timeout_min, mem_gb, nodes, cpus_per_task, gpus_per_node)
    and of Slurm (partition, qos ...). Raises UserError if submitit or Slurm is missing, or if a
    parameter is unknown.
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
            raise UserError(
                f"--launcher slurm: {error}; is Slurm installed on this machine?"
            ) from error
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
        """Return the job that an earlier process left in Slurm's queue for the run, if any."""
        if self._cluster != "slurm" or not ticket.exists():
            return None
        job: Any = self._submitit.SlurmJob(self._folder, ticket.read_text(encoding="ascii"))
        gone = job.get_info(mode="force").get("State") is None or job.done(force_check=True)
        return None if gone else job


class InJob:
    """The function of a job: runs the process of a run and passes signals on to it."""

    def __init__(self, run: PlannedRun) -> None:
        self.run, self.program = run, PROGRAM

    def __call__(self) -> int:
        def pass_on(number: int, frame: FrameType | None) -> None:
            self._process.send_signal(number)

        # In a new session the run receives signals only from this process.
        self._process = _start(self.program, self.run, {}, new_session=True)
        with handling(pass_on):
            return self._process.wait()

    def checkpoint(self) -> Any:
        """Save the run and queue the job again; submitit calls this before it ends the job, because
        of its time limit or of another job."""
        from submitit.helpers import DelayedSubmission

        self._process.terminate()
        self._process.wait()
        return DelayedSubmission(InJob(self.run))


class _SubmittedJob:
    def __init__(self, job: Any, folder: RunFolder) -> None:
        self._job, self._folder = job, folder

    def poll(self) -> int | None:
        # The run may still be saving after its job was cancelled.
        if not self._job.done() or self._folder.is_locked():
            return None
        try:
            status: int = self._job.result()
        except Exception:  # submitit raises various errors for jobs that the cluster ended
            return 1
        return status

    def stop(self, number: int) -> None:
        self._job.cancel(check=False)
