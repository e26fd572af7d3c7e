"""How processes find each other, and what is told when one is lost."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from d3gan.errors import ProcessesLost, UserError
from d3gan.training.distributed.collectives import rank, world_size


def launch_name() -> str | None:
    """What torchrun calls this launch of processes, the same after a restart; None without it."""
    return os.environ.get("TORCHELASTIC_RUN_ID")


@contextmanager
def process_group(
    device_name: str, timeout_seconds: float = 1800, backend: str = ""
) -> Iterator[torch.device]:
    """Join the group that torchrun announces, if it does; the device of this process.

    `device_name` is auto, cpu or cuda. The backend, where none is named, is NCCL on CUDA, gloo on
    the CPU. A process that waits for another one longer than `timeout_seconds` gives up.
    """
    cuda = torch.cuda.is_available()
    if device_name == "cuda" and not cuda:
        raise UserError("train.device = 'cuda': there is no CUDA device here; use auto or cpu")
    device = torch.device("cpu")
    if device_name != "cpu" and cuda:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        here, devices = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
        if here > devices:  # found by every process, so that the main one can tell
            raise UserError(
                f"{here} processes on a machine with {devices} CUDA devices; start one process "
                "per device, or use --train.device cpu"
            )
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    backend = backend or ("nccl" if device.type == "cuda" else "gloo")
    _join(backend, timedelta(seconds=timeout_seconds))
    try:
        yield device
    finally:
        time.sleep(LETTING_GO)
        dist.destroy_process_group()


LETTING_GO = 0.1
"""Seconds for gloo's threads to let go of the tensors of the last collective, for which they need
Python's lock. When the last owner of the group is a DistributedDataParallel, torch 2.13 waits for
these threads with that lock held, for ever (pytorch issue 56297)."""


STARTING = timedelta(minutes=5)
"""How long processes may start one after the other, however short the time between steps is."""


def _join(backend: str, timeout: timedelta) -> None:
    """Join the group. After a restart by torchrun no address of the processes before is found.

    Torch itself (2.13) leaves them in the store that the agent keeps over restarts, and gloo then
    calls processes that are gone.
    """
    where, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    number, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    agents = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    patience = max(timeout, STARTING)
    everybodys = dist.TCPStore(  # type: ignore[attr-defined]
        where,
        port,
        is_master=number == 0 and not agents,
        timeout=patience,
        wait_for_workers=False,
    )
    start = _name_of_this_start(everybodys, number, size, patience)
    store = dist.PrefixStore(start, everybodys)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=store, rank=number, world_size=size, timeout=timeout)


def _name_of_this_start(store: Any, number: int, size: int, timeout: timedelta) -> str:
    """A name that rank 0 makes up and that all processes of this start, and no other, learn.

    Counting restarts would not do: each host's agent counts its own. So every rank says hello with
    a word of its own, and rank 0 answers to the word; what earlier starts left is never asked for.
    """
    word = uuid.uuid4().hex
    if number > 0:
        store.set(f"hello/{number}", word)
        name: str = store.get(f"welcome/{word}").decode()  # waits
        store.set(f"joined/{name}/{number}", "")
        return name
    deadline = time.monotonic() + timeout.total_seconds()
    others = range(1, size)
    while not all(store.check([f"joined/{word}/{other}"]) for other in others):
        for other in others:
            if store.check([f"hello/{other}"]):
                store.set(f"welcome/{store.get(f'hello/{other}').decode()}", word)
        if time.monotonic() > deadline:
            raise ProcessesLost("rank 0 waited in vain for the other processes to start")
        time.sleep(0.02)
    return word


@contextmanager
def report_lost_ranks(place: Callable[[], str]) -> Iterator[None]:
    """Within the block, what a collective raises because another process ended or hangs becomes
    ProcessesLost, which names this rank and the `place` that it had come to."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        if world_size() == 1 or not _is_of_a_collective(error):
            raise
        raise ProcessesLost(
            f"rank {rank()} lost the other processes {place()}: one of them ended, or did not "
            f"answer within train.timeout_seconds ({reason})"
        ) from error


def _is_of_a_collective(error: RuntimeError) -> bool:
    text = str(error)
    return isinstance(error, dist.DistError) or "gloo" in text or "Timed out waiting" in text


def empty_store() -> Any:
    """A store on a free port of this machine, for processes that this one starts."""
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
