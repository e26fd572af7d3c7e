"""Starting the processes of a group on this machine, without torchrun."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread
from types import FrameType

from d3gan.training import distributed
from d3gan.training.signals import handling


def launch(
    processes: int, command: Sequence[str], *, module: str = "d3gan", threads: int | None = None
) -> int:
    """Run `python -m module command...` as `processes` processes of one group on this machine.

    Does what `torchrun --standalone --nproc-per-node` does, without restarts, and keeps the
    processes' exit status. Signals are passed on, and when one process fails the others are ended.
    Each has so many `threads`; where none are named, $OMP_NUM_THREADS or its part of the CPUs.
    """
    store = distributed.empty_store()
    share = max(1, (os.cpu_count() or 1) // processes)
    workers = []
    for number in range(processes):
        variables = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes),
            "RANK": str(number),
            "LOCAL_RANK": str(number),
            "OMP_NUM_THREADS": str(threads or os.environ.get("OMP_NUM_THREADS", share)),
        }
        workers.append(
            subprocess.Popen([sys.executable, "-m", module, *command], env=os.environ | variables)
        )

    def pass_on(number: int, frame: FrameType | None) -> None:
        for worker in workers:
            with suppress(ValueError):  # Windows passes Ctrl-C on by itself
                worker.send_signal(number)

    with handling([signal.SIGINT, signal.SIGTERM], pass_on):
        return _wait_for(workers)


def _wait_for(workers: list["subprocess.Popen[bytes]"]) -> int:
    """The first failure's exit status, else 0. After a failure the others have ten seconds.

    A thread waits for each worker: to ask after them would take time from their processors.
    """
    ended: Queue[subprocess.Popen[bytes]] = Queue()

    def wait(worker: "subprocess.Popen[bytes]") -> None:
        worker.wait()
        ended.put(worker)

    for worker in workers:
        Thread(target=wait, args=(worker,), daemon=True).start()
    failure = 0
    running = list(workers)
    while running:
        try:
            worker = ended.get(timeout=1)  # Windows lets a Ctrl-C through only in between
        except Empty:
            continue
        running.remove(worker)
        status = worker.returncode
        if status and not failure:
            failure = status if status > 0 else 128 - status
            _end(running)
    return failure


def _end(workers: list["subprocess.Popen[bytes]"]) -> None:
    for ask in (None, subprocess.Popen.terminate, subprocess.Popen.kill):
        for worker in workers:
            if ask and worker.poll() is None:
                ask(worker)
        for worker in workers:
            try:
                worker.wait(timeout=5)
            except subprocess.TimeoutExpired:
                break
