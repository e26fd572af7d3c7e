"""How processes find each other and form a process group."""

import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from d3gan.acceleration.cuda_graph import release_graphs
from d3gan.devices import choose_device
from d3gan.errors import ProcessesLost, UserError
from d3gan.training.distributed.collectives import backend_of
from d3gan.training.distributed.peers import share_process_ids

SECONDS_BEFORE_DESTROYING = 0.1
"""Time for gloo's threads to release the tensors of the last collective, for which they need
Python's lock. When the last owner of the group is a DistributedDataParallel, torch 2.13 waits for
these threads while it holds that lock, forever (pytorch issue 56297)."""

START_TIMEOUT = timedelta(minutes=5)
"""Longest time between the starts of two processes, also where the group's timeout is shorter."""

SECONDS_TO_ABORT = 3.0
"""Longest time for aborting NCCL's communicators; the error is printed only after it, and whatever
has started the processes ends them a few seconds after the first error."""

_aborted = threading.Event()


def was_aborted() -> bool:
    """Return whether this process left a process group by aborting it.

    Kernels that wait for other ranks may still run then, and the end of the interpreter would wait
    for them; only `os._exit` does not.
    """
    return _aborted.is_set()


def launch_name() -> str | None:
    """Return torchrun's id of this launch, which restarts keep; None without torchrun."""
    return os.environ.get("TORCHELASTIC_RUN_ID")


@contextmanager
def process_group(
    device_name: str, timeout_seconds: float = 1800, backend: str = ""
) -> Iterator[torch.device]:
    """Join the process group that torchrun's environment variables describe; yield the device.

    Without these variables the process is alone and there is no group. `device_name` is auto, cpu,
    cuda or mps. The default backend is NCCL for tensors on CUDA devices and gloo for those on the
    CPU, among them all control messages. Collectives fail when another process does not answer
    within `timeout_seconds`. Raises UserError without such a device for this process.

    After an error in the block NCCL's communicators are aborted: to destroy the group is to wait
    for the other ranks, which need not have failed (pytorch issues 119250 and 132696).
    """
    device = _device(device_name)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield device
        return
    timeout = timedelta(seconds=timeout_seconds)
    number = int(os.environ["RANK"])
    store = _store(number, size, max(timeout, START_TIMEOUT))
    if device.type == "cuda":
        _check_own_device(store, device, number, size)
    dist.init_process_group(
        _backends(device, backend),
        store=store,
        rank=number,
        world_size=size,
        timeout=timeout,
        device_id=device if device.type == "cuda" else None,
    )
    try:
        yield device
    except BaseException:
        if device.type == "cuda" and backend_of("cuda") == "nccl":
            _abort(device)
        else:
            _destroy()
        raise
    _destroy()


def _backends(device: torch.device, backend: str) -> str:
    """Return the backends of the group by kind of device, given the one for the gradients."""
    backend = backend or ("nccl" if device.type == "cuda" else "gloo")
    return "cpu:gloo,cuda:nccl" if backend == "nccl" else backend


def _destroy() -> None:
    release_graphs()  # NCCL waits for graphs that hold its operations (pytorch issue 115388)
    time.sleep(SECONDS_BEFORE_DESTROYING)
    dist.destroy_process_group()


def _abort(device: torch.device) -> None:
    """Abort the communicators of all groups, waiting for neither kernels nor other ranks."""

    def abort() -> None:
        with suppress(Exception):  # the communicators may be in any state
            torch.cuda.set_device(device)  # of this thread
            release_graphs()
            dist.distributed_c10d._abort_process_group()

    _aborted.set()
    thread = threading.Thread(target=abort, daemon=True)
    thread.start()
    thread.join(SECONDS_TO_ABORT)


def _device(name: str) -> torch.device:
    """Return this process's device. Some schedulers show each process its own CUDA device only."""
    chosen = choose_device(name, int(os.environ.get("WORLD_SIZE", "1")))
    if chosen.type != "cuda":
        return chosen
    local_rank, devices = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if here > devices > 1:  # checked by every process, so that the main one reports it
        raise _too_few_devices(here, devices)
    device = torch.device("cuda", local_rank if devices > 1 else 0)
    torch.cuda.set_device(device)
    return device


def _check_own_device(store: Any, device: torch.device, number: int, size: int) -> None:
    """Raise UserError, on all ranks, if two of them have the same CUDA device."""
    uuid_here = str(torch.cuda.get_device_properties(device).uuid)
    store.set(f"device/{number}", uuid_here)
    used = {store.get(f"device/{other}") for other in range(size)}  # get() waits for the others
    if len(used) < size:
        raise _too_few_devices(size, len(used))


def _too_few_devices(processes: int, devices: int) -> UserError:
    return UserError(
        f"{processes} processes for {devices} CUDA {'device' if devices == 1 else 'devices'}; "
        "start one process per device, or use --train.device cpu"
    )


def _store(number: int, size: int, timeout: timedelta) -> Any:
    """Return the store in which the processes of this start, and no others, find each other.

    torchrun's agent keeps its store over restarts, with the addresses of the processes that have
    ended, and torch 2.13 connects to them. A prefix for each start keeps the starts apart.
    """
    agents_store = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = _tcp_store(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=number == 0 and not agents_store,
        timeout=timeout,
    )
    prefix = _name_of_this_start(store, number, size, timeout)
    named = dist.PrefixStore(prefix, store)  # type: ignore[attr-defined]
    share_process_ids(named, number, size)
    return named


def _name_of_this_start(store: Any, number: int, size: int, timeout: timedelta) -> str:
    """Return a name that rank 0 draws and that only the processes of this start receive.

    A count of restarts would not do, because each host's agent counts its own. So every other rank
    announces a random word, and rank 0 replies under that word; replies to the words of earlier
    starts are never read.
    """
    word = uuid.uuid4().hex
    if number > 0:
        store.set(f"hello/{number}", word)
        name: str = store.get(f"welcome/{word}").decode()  # waits for rank 0
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


def empty_store() -> Any:
    """Return a store on a free port of this machine, for processes that this process starts."""
    return _tcp_store("127.0.0.1", 0, is_master=True)


def _tcp_store(host: str, port: int, *, is_master: bool, timeout: timedelta = START_TIMEOUT) -> Any:
    """Return a store at an address. Torch for Windows is built without libuv, its default."""
    libuv = sys.platform != "win32"
    return dist.TCPStore(  # type: ignore[attr-defined]
        host, port, is_master=is_master, timeout=timeout, wait_for_workers=False, use_libuv=libuv
    )
