"""The rank of this process, and the collective operations of all ranks."""

import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from d3gan.errors import ProcessesLost, UserError
from d3gan.training.distributed.peers import ended_ranks
from d3gan.training.signals import ignore_termination

T = TypeVar("T")

_failed: list[RuntimeError] = []
"""Errors of collectives in gradient reductions, whose type is lost on the way through autograd."""

_long_works = itertools.count()
"""Numbers of the blocks of `_main_first` that this process has entered, the same on every rank."""

LONGEST_POLL_SECONDS = 0.1


def rank() -> int:
    """Return this process's number in its group, also before the group is joined."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Return the number of processes in the group; 1 without a group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Return whether this process writes files and messages for all."""
    return rank() == 0


def backend_of(device_type: str, group: Any = None) -> str:
    """Return the backend of a group (default: all processes) for tensors on such a device."""
    pairs = (pair.split(":") for pair in dist.get_backend_config(group).split(","))
    return dict(pairs).get(device_type, "")


@contextmanager
def collective() -> Iterator[None]:
    """Raise ProcessesLost for an error of the collective operations in the block.

    gloo raises a plain RuntimeError when another process ended or did not answer in time, so only
    the place where it is raised distinguishes it from other errors. The block must hold nothing but
    collective operations.
    """
    try:
        yield
    except RuntimeError as error:
        raise lost(error) from error


def lost(error: RuntimeError, place: str = "") -> ProcessesLost:
    """Return the ProcessesLost that names this rank, the place and the collective's error."""
    # gloo begins with a place in its source, and ends with sentences of general advice.
    reason = re.sub(r"^\[\S+\] ", "", str(error).partition("\n")[0]).partition(". ")[0]
    who = "one of them ended, or did not answer within train.timeout_seconds"
    if ended := ended_ranks():
        numbers = " and ".join(map(str, ended))
        who = f"rank {numbers} has ended" if len(ended) == 1 else f"ranks {numbers} have ended"
    return ProcessesLost(
        f"rank {rank()} lost the other processes{place and ' '}{place}: {who} ({reason})"
    )


@contextmanager
def report_lost_ranks(place: Callable[[], str]) -> Iterator[None]:
    """Raise ProcessesLost, which names this rank and `place()`, for errors of collectives.

    These are errors of the functions of this package, of gradient reductions, and every
    torch.distributed.DistError (NCCL). Other errors pass.
    """
    _failed.clear()
    try:
        yield
    except ProcessesLost as error:
        ignore_termination()
        cause = error.__cause__
        raise (lost(cause, place()) if isinstance(cause, RuntimeError) else error) from error
    except RuntimeError as error:
        if isinstance(error, dist.DistError):
            ignore_termination()
            raise lost(error, place()) from error
        if _failed:
            ignore_termination()
            raise lost(_failed[0], place()) from error
        raise


def average_gradients(
    group: Any,
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> torch.futures.Future[Tensor]:
    """Average a bucket of gradients over `group`: a communication hook of DistributedDataParallel.

    It computes what DistributedDataParallel computes without a hook, and records errors.
    """
    mean = bucket.buffer().div_(dist.get_world_size(group))
    work = dist.all_reduce(mean, group=group, async_op=True)

    def result(future: Any) -> Tensor:
        try:
            return cast(Tensor, future.value()[0])
        except RuntimeError as error:
            _failed.append(error)
            raise

    averaged: torch.futures.Future[Tensor] = work.get_future().then(result)
    return averaged


def barrier() -> None:
    """Wait for all processes, on the host; their devices may still compute."""
    any_rank(0)


def all_reduce(x: Tensor, group: Any = None, op: Any = dist.ReduceOp.SUM) -> None:
    """Replace `x` by its reduction over the processes of a group (default: all processes)."""
    with collective():
        dist.all_reduce(x, op=op, group=group)


def all_gather(parts: list[Tensor], part: Tensor, group: Any = None) -> None:
    """Fill `parts` with the `part` of every process of a group; all parts have one shape."""
    with collective():
        dist.all_gather(parts, part, group=group)


def mean_over_ranks(x: Tensor) -> Tensor:
    """Return the mean of `x` over ranks, the same on every rank, bit for bit."""
    if world_size() == 1:
        return x
    total = x.detach().clone()
    all_reduce(total)
    return total / world_size()


def sum_over_ranks(x: Tensor) -> None:
    """Replace `x` by its sum over ranks."""
    if world_size() > 1:
        all_reduce(x)


def gather_rows(x: Tensor) -> Tensor:
    """Return the rows [B, D] of all ranks in the order of ranks; B may differ between ranks."""
    if world_size() == 1:
        return x
    sizes = [torch.zeros((), dtype=torch.int64, device=x.device) for _ in range(world_size())]
    all_gather(sizes, torch.tensor(len(x), device=x.device))
    most = int(max(sizes))
    parts = [x.new_empty(most, *x.shape[1:]) for _ in sizes]
    all_gather(parts, torch.cat([x, x.new_zeros(most - len(x), *x.shape[1:])]))
    return torch.cat([part[: int(size)] for part, size in zip(parts, sizes, strict=True)])


def gathered(part: T, group: Any = None) -> list[T] | None:
    """Return the `part` of every process of a group (default: all) on its first one, else None.

    Tensors among the parts must be on the CPU: others are unpickled on the sender's device.
    """
    if world_size() == 1:
        return [part]
    first = dist.get_rank(group) == 0
    parts: list[Any] | None = [None] * dist.get_world_size(group) if first else None
    with collective():
        dist.gather_object(part, parts, group=group, group_dst=0)
    return parts


def from_main(work: Callable[[], T]) -> T:
    """Run `work` on the main rank; return its result, or raise its UserError, on all ranks.

    The other ranks wait for as long as it takes, not only for `train.timeout_seconds`.
    """
    with raise_together(), _main_first():
        answer = [work() if is_main() else None]
    if world_size() > 1:
        with collective():
            dist.broadcast_object_list(answer)
    return cast(T, answer[0])


@contextmanager
def _main_first() -> Iterator[None]:
    """Make the other ranks wait at the end of the block until the main rank has left it.

    They ask the store, which has no timeout, and which is lost if the main rank holds it and ends;
    otherwise whatever has started the processes ends them.
    """
    if world_size() == 1:
        yield
        return
    store = dist.distributed_c10d._get_default_store()
    key, seconds = f"d3gan/long/{next(_long_works)}", 0.001
    try:
        yield
    finally:
        if is_main():
            store.set(key, "")
    with collective():
        while not store.check([key]):
            time.sleep(seconds)
            seconds = min(2 * seconds, LONGEST_POLL_SECONDS)


@contextmanager
def averaged_buffers(module: nn.Module) -> Iterator[None]:
    """Average floating-point buffers over ranks within the block, and restore them after it."""
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
    """Return the largest `flag` of all ranks.

    It is reduced on the CPU by gloo, so that no rank waits for its CUDA device.
    """
    if world_size() == 1:
        return flag
    largest = torch.tensor(flag)
    all_reduce(largest, op=dist.ReduceOp.MAX)
    return int(largest)


def first_reason(reason: str) -> str:
    """Return the first `reason` of all ranks that is not empty, or else ""."""
    reasons = [reason] * world_size()
    if world_size() > 1:
        with collective():
            dist.all_gather_object(reasons, reason)
    return next(filter(None, reasons), "")


@contextmanager
def raise_together() -> Iterator[None]:
    """If one rank raises UserError in the block, raise it on all ranks after the block.

    The block must not wait for other ranks.
    """
    try:
        yield
        problem = None
    except UserError as error:
        problem = str(error)
    problems = [problem]
    if world_size() > 1:
        problems = [None] * world_size()
        with collective():
            dist.all_gather_object(problems, problem)
    for number, text in enumerate(problems):
        if text:
            raise UserError(text if number == 0 else f"{text} (on rank {number})")
