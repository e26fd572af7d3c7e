"""Who this process is among the others, and what all of them do together."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from d3gan.errors import UserError

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


def barrier() -> None:
    """Wait for all processes."""
    if world_size() > 1:
        dist.barrier()


def mean_over_ranks(x: Tensor) -> Tensor:
    """The mean of `x` over ranks; the same on every rank, bit for bit."""
    if world_size() == 1:
        return x
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


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


def gathered(part: T, group: Any = None) -> list[T] | None:
    """The `part` of every process of a group (all of them), in order, on its first one."""
    if world_size() == 1:
        return [part]
    first = dist.get_rank(group) == 0
    parts: list[Any] | None = [None] * dist.get_world_size(group) if first else None
    dist.gather_object(part, parts, group=group, group_dst=0)
    return parts


def from_main(work: Callable[[], T]) -> T:
    """What `work` returns on the main rank, on every rank. Its UserError is raised on all."""
    with raise_together():
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
def raise_together() -> Iterator[None]:
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
