"""Processes that train together. The only importer of torch.distributed.

Every function answers sensibly when there is one process and no process group, so that no caller
asks whether it is distributed (after EDM's torch_utils/distributed.py).
"""

import os
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce as differentiable_all_reduce
from torch.nn.parallel import DistributedDataParallel

from d3gan.errors import ProcessesLost, UserError
from d3gan.networks.norms import SyncBatchNorm2d

T = TypeVar("T")


def rank() -> int:
    """This process's number in its group, before the group is joined too."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Number of processes in the group; 1 without one."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this process writes the files and speaks to the user."""
    return rank() == 0


def launch_name() -> str | None:
    """What torchrun calls this launch of processes, the same after a restart; None without it."""
    return os.environ.get("TORCHELASTIC_RUN_ID")


@contextmanager
def process_group(device_name: str, timeout_seconds: float = 1800) -> Iterator[torch.device]:
    """Join the group that torchrun announces, if it does; the device of this process.

    `device_name` is auto, cpu or cuda. The backend is NCCL on CUDA, gloo on the CPU. A process
    that waits for another one longer than `timeout_seconds` gives up.
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
    _join("nccl" if device.type == "cuda" else "gloo", timedelta(seconds=timeout_seconds))
    try:
        yield device
    finally:
        dist.destroy_process_group()


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


def reduced(module: nn.Module) -> nn.Module:
    """The module with its gradients averaged over ranks, overlapped with the backward pass.

    Every forward pass of it must be followed by one backward pass. Batch norms of the kind `sync`
    take their statistics over all ranks from now on.
    """
    if world_size() == 1:
        return module
    for layer in module.modules():
        if isinstance(layer, SyncBatchNorm2d):
            layer.sum_over_ranks = _differentiable_sum
    device = next(module.parameters()).device
    with warnings.catch_warnings():
        # torch 2.13 renames broadcast_buffers; 2.9 knows no other name for it.
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(
            module,
            device_ids=[device.index] if device.type == "cuda" else None,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        )


def _differentiable_sum(x: Tensor) -> Tensor:
    total: Tensor = differentiable_all_reduce(x.clone())
    return total


def mean_over_ranks(x: Tensor) -> Tensor:
    """The mean of `x` over ranks; the same on every rank, bit for bit."""
    if world_size() == 1:
        return x
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


@contextmanager
def naming_the_lost(place: Callable[[], str]) -> Iterator[None]:
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


def sum_over_ranks(x: Tensor) -> None:
    """Replace `x` by its sum over ranks."""
    if world_size() > 1:
        dist.all_reduce(x)


def gather_rows(x: Tensor) -> Tensor:
    """The rows [B, D] of all ranks, of which each may have another number, in order of rank."""
    if world_size() == 1:
        return x
    sizes = [torch.zeros((), dtype=torch.int64, device=x.device) for _ in range(world_size())]
    dist.all_gather(sizes, torch.tensor(len(x), device=x.device))
    most = int(max(sizes))
    parts = [x.new_empty(most, *x.shape[1:]) for _ in sizes]
    dist.all_gather(parts, torch.cat([x, x.new_zeros(most - len(x), *x.shape[1:])]))
    return torch.cat([part[: int(size)] for part, size in zip(parts, sizes, strict=True)])


def from_main(work: Callable[[], T]) -> T:
    """What `work` returns on the main rank, on every rank. Its UserError is raised on all."""
    with all_or_none():
        answer = [work() if is_main() else None]
    if world_size() > 1:
        dist.broadcast_object_list(answer)
    return cast(T, answer[0])


@contextmanager
def averaged_buffers(module: nn.Module) -> Iterator[None]:
    """Within the block the floating-point buffers are averaged over ranks; then each rank has its
    own again, so that training goes on as if nothing had been."""
    own = [buffer.clone() for buffer in module.buffers()]
    average_buffers(module)
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in zip(module.buffers(), own, strict=True):
                buffer.copy_(before)


@torch.no_grad()
def average_buffers(module: nn.Module) -> None:
    """Average floating-point buffers (running statistics) over ranks, in place."""
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.copy_(mean_over_ranks(buffer))


def any_rank(flag: int) -> int:
    """The largest `flag` on any rank."""
    if world_size() == 1:
        return flag
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    largest = torch.tensor(flag, device=device)
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return int(largest)


@contextmanager
def all_or_none() -> Iterator[None]:
    """If one rank raises UserError in the block, all ranks raise it after the block.

    Whatever is done in the block must not wait for other ranks.
    """
    try:
        yield
        problem = None
    except UserError as error:
        problem = str(error)
    if world_size() == 1:
        problems = [problem]
    else:
        problems = [None] * world_size()
        dist.all_gather_object(problems, problem)
    for number, text in enumerate(problems):
        if text:
            here = number == 0
            raise UserError(text if here else f"{text} (on rank {number})")


def empty_store() -> Any:
    """A store on a free port of this machine, for processes that this one starts."""
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
