"""Gradients averaged in memory that the processes of one machine share, for CPUs.

gloo sends what they tell each other through the machine's own network stack; here each lays its
gradients down once, and each adds up what all laid down. What that saves: docs/benchmarks.md.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.futures import Future

FOLDER = Path("/dev/shm")
"""Files in memory, on Linux."""


class SharedMean:
    """The mean over a group's processes, the same on each, bit for bit. `take` is a communication
    hook for DistributedDataParallel, and an object of this class the hook's state.

    `slots` [2, processes, elements] are shared. The two halves take turns, so that processes wait
    for each other once in a backward pass: nobody gets to the half that a slower one still reads
    before that one has come to the next meeting.
    """

    def __init__(self, slots: Tensor, group: Any) -> None:
        self.slots, self.group, self.rank = slots, group, dist.get_rank(group)
        self.half = 0
        self._begin()

    def _begin(self) -> None:
        self.filled = 0
        self.open: list[tuple[Tensor, Tensor, Future[Tensor]]] = []

    def take(self, bucket: dist.GradBucket) -> Future[Tensor]:  # type: ignore[name-defined]
        """Lay the bucket down; after the last one wait for the others, and average all buckets."""
        mine = bucket.buffer()
        everyones = self.slots[self.half, :, self.filled : self.filled + len(mine)]
        self.filled += len(mine)
        torch.mul(mine, 1 / len(everyones), out=everyones[self.rank])
        future: Future[Tensor] = Future()
        self.open.append((mine, everyones, future))
        if bucket.is_last():
            dist.barrier(self.group)
            for mean, parts, promised in self.open:
                torch.add(parts[0], parts[1], out=mean)
                for part in parts[2:]:
                    mean += part
                promised.set_result(mean)
            self.half = 1 - self.half
            self._begin()
        return future


def shared_mean(network: nn.Module, group: Any) -> SharedMean | None:
    """What averages a network's gradients over a group, if its processes can share memory.

    None, on all of them, on other devices, on several machines, or without so much memory to share.
    All of the group call it together.
    """
    weights = list(network.parameters())
    if weights[0].device.type != "cpu":
        return None
    shape = (2, dist.get_world_size(group), sum(weight.numel() for weight in weights))
    slots = shared_memory(shape, weights[0].dtype, group)
    return None if slots is None else SharedMean(slots, group)


def shared_memory(shape: tuple[int, ...], dtype: torch.dtype, group: Any) -> Tensor | None:
    """Zeros of this shape that all processes of a group see; None, on all, where that cannot be."""
    size = torch.Size(shape).numel()
    first = dist.get_rank(group) == 0
    names = [_reserved(size * dtype.itemsize) if first else None]
    dist.broadcast_object_list(names, group=group, group_src=0)
    memory = None
    with suppress(OSError, RuntimeError):
        if names[0] and Path(names[0]).exists():  # it does not on another machine
            memory = torch.from_file(names[0], shared=True, size=size, dtype=dtype)
    seen_by_all = torch.tensor(memory is not None, dtype=torch.uint8)
    dist.all_reduce(seen_by_all, op=dist.ReduceOp.MIN, group=group)
    if first and names[0]:
        Path(names[0]).unlink()  # the memory lives as long as somebody sees it, also after a kill
    return memory.view(shape) if memory is not None and seen_by_all else None


def _reserved(size: int) -> str | None:
    """A new file in memory of so many bytes, all of them there; None if they are not."""
    if not FOLDER.is_dir() or not hasattr(os, "posix_fallocate"):
        return None
    with suppress(OSError):  # no right to write, or too small: containers often have 64 MB
        file, name = tempfile.mkstemp(prefix="d3gan-", dir=FOLDER)
        try:
            os.posix_fallocate(file, 0, size)
            return name
        except OSError:
            Path(name).unlink()
        finally:
            os.close(file)
    return None
