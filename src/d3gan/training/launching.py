"""Starts the processes of a group on this machine, without torchrun (docs/decisions/0011)."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

from d3gan.machine import usable_cpus
from d3gan.training import distributed
from d3gan.training.parent import launched_by_this_process
from d3gan.training.signals import handling

POLL_SECONDS = 0.1
SECONDS_TO_REPORT = 5.0
"""Time that the other processes have, after one has failed, to report that they lost it."""
SECONDS_TO_TERMINATE = 5.0
"""Time between SIGTERM and SIGKILL."""


def launch(
    processes: int, command: Sequence[str], *, module: str = "d3gan", threads: int | None = None
) -> int:
    """Run `python -m module command...` as the processes of one group; return the exit status.

    The status is that of the first process that fails, 128 + n if signal n ended it, and 0 if none
    fails. Signals are passed on. After a failure the other processes end within ten seconds.
    `threads` of each process: default $OMP_NUM_THREADS, or else its share of the CPUs.
    """
    store = distributed.empty_store()
    share = max(1, usable_cpus() // processes)
    environment = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "OMP_NUM_THREADS": str(threads or os.environ.get("OMP_NUM_THREADS", share)),
        **launched_by_this_process(),
    }
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", module, *command],
            env=environment | {"RANK": str(number), "LOCAL_RANK": str(number)},
        )
        for number in range(processes)
    ]

    def pass_on(number: int, frame: FrameType | None) -> None:
        for worker in workers:
            with suppress(ValueError):  # Windows passes Ctrl-C on by itself
                worker.send_signal(number)

    try:
        with handling(pass_on):
            failure = 0
            while not failure and _running(workers):
                time.sleep(POLL_SECONDS)
                failure = next((worker.returncode for worker in workers if worker.poll()), 0)
            if failure:
                _wait(workers, SECONDS_TO_REPORT)
            return failure if failure >= 0 else 128 - failure
    finally:
        _end(workers)


def _running(workers: list["subprocess.Popen[bytes]"]) -> list["subprocess.Popen[bytes]"]:
    return [worker for worker in workers if worker.poll() is None]


def _wait(workers: list["subprocess.Popen[bytes]"], seconds: float) -> None:
    """Wait until all workers have ended, at most so many seconds."""
    deadline = time.monotonic() + seconds
    while _running(workers) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _end(workers: list["subprocess.Popen[bytes]"]) -> None:
    """Terminate the workers that still run, kill those that do not end, and wait for them."""
    for worker in _running(workers):
        worker.terminate()
    _wait(workers, SECONDS_TO_TERMINATE)
    for worker in _running(workers):
        worker.kill()
        worker.wait()
