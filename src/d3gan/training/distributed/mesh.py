"""How processes divide the work: the batch among them, and the discriminators if asked to."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.distributed.nn.functional import all_reduce as differentiable_all_reduce
from torch.nn.parallel import DistributedDataParallel

from d3gan.config import TrainConfig
from d3gan.data.sampler import shard
from d3gan.errors import UserError
from d3gan.networks.norms import SyncBatchNorm2d
from d3gan.training.distributed.collectives import gathered, mean_over_ranks, rank, world_size
from d3gan.training.distributed.shared import SharedMean, shared_mean

T = TypeVar("T")


@dataclass(frozen=True)
class DiscriminatorParallel:
    """Processes in rows: row d has part d of every batch, and in it process k has share k of the
    discriminators. The generator is the same on all of them."""

    data: int
    """Number of rows."""
    discriminator: int
    """Processes in a row."""
    discriminators: int
    """N, of all shares together."""
    row: Any = None
    """The group of the processes of this one's row."""
    column: Any = None
    """The group of those with the same discriminators."""
    shared_memory: bool = True
    """Whether processes of one machine average gradients in memory that they share, on CPUs."""

    @property
    def size(self) -> int:
        """Number of processes. One process may compute alone within a larger process group."""
        return self.data * self.discriminator

    def images(self, batch_size: int) -> range:
        """This process's part of a batch."""
        return shard(batch_size, rank() // self.discriminator, self.data)

    def members(self) -> range:
        """This process's share of the discriminators."""
        return self._share(rank() % self.discriminator)

    def _share(self, place: int) -> range:
        return shard(self.discriminators, place, self.discriminator)

    def generator(self, network: nn.Module) -> Callable[[Tensor], Tensor]:
        """The generator with its gradients averaged over all processes.

        What the discriminators of a row make of its images is added up on the way back.
        """
        _share_statistics(network, self.column, self.data)
        wrapped = self._averaging(network, None, self.size)
        if self.discriminator == 1:
            return wrapped
        row = self.row

        def generate(z: Tensor) -> Tensor:
            images: Tensor = _AllReduceGradient.apply(wrapped(z), row)  # type: ignore[no-untyped-call]
            return images

        return generate

    def ensemble(self, network: nn.Module) -> nn.Module:
        """This share of the discriminators with gradients averaged over those who have it too."""
        _share_statistics(network, self.column, self.data)
        return self._averaging(network, self.column, self.data)

    def _averaging(self, network: nn.Module, group: Any, size: int) -> nn.Module:
        """The network with its gradients averaged over a group: in memory that its processes share,
        or else by the backend, overlapped with the backward pass.

        Every forward pass of it must be followed by one backward pass.
        """
        if size == 1:
            return network
        device = next(network.parameters()).device
        with warnings.catch_warnings():
            # torch 2.13 renames broadcast_buffers; 2.9 knows no other name for it.
            warnings.simplefilter("ignore", FutureWarning)
            wrapped = DistributedDataParallel(
                network,
                device_ids=[device.index] if device.type == "cuda" else None,
                process_group=group,
                broadcast_buffers=False,
                gradient_as_bucket_view=True,
            )
        if self.shared_memory and (mean := shared_mean(network, group)):
            wrapped.register_comm_hook(mean, SharedMean.take)
        return wrapped

    def all_gather_discriminators(self, x: Tensor) -> Tensor:
        """[..., n, B] of this share's discriminators -> [..., N, B] of all; gradients go to n."""
        if self.discriminator == 1:
            return x
        return cast(Tensor, _AllGatherDiscriminators.apply(x, self))  # type: ignore[no-untyped-call]

    def mean_over_ranks(self, x: Tensor) -> Tensor:
        """The mean over all processes, the same on each, bit for bit."""
        return mean_over_ranks(x) if self.size > 1 else x

    def gather_row(self, part: T) -> list[T] | None:
        """The `part` of each process of the first row, in order, on the main process; else None."""
        if rank() >= self.discriminator:
            return None
        return [part] if self.discriminator == 1 else gathered(part, self.row)


def mesh_shape(text: str, processes: int) -> tuple[int, int]:
    """Rows (parts of the batch) and columns (shares of the discriminators) that a `train.mesh` asks
    for; rows that it does not name are as many as go into so many processes."""
    axes = {name: int(size) for name, size in (axis.split("=") for axis in text.split(",") if axis)}
    columns = axes.get("discriminator", 1)
    return axes.get("data", max(1, processes // columns)), columns


def make_discriminator_parallel(train: TrainConfig, discriminators: int) -> DiscriminatorParallel:
    """The mesh that `train` describes, of all processes. Every one of them calls it.

    Raises UserError, on all, if there are more or fewer processes, or too few discriminators.
    """
    text, shared_memory = train.mesh, train.shared_memory
    rows, columns = mesh_shape(text, world_size())
    if rows * columns != world_size():
        raise UserError(
            f"train.mesh = '{text}': is for {rows * columns} processes, and there are "
            f"{world_size()}; start so many, or give another --train.mesh ('' for data alone)"
        )
    if columns > discriminators:
        raise UserError(
            f"train.mesh = '{text}': there are only {discriminators} discriminators to share out"
        )
    if columns == 1:
        return DiscriminatorParallel(rows, 1, discriminators, shared_memory=shared_memory)
    timeout = timedelta(seconds=train.timeout_seconds)
    table = torch.arange(rows * columns).view(rows, columns)
    row, _ = dist.new_subgroups_by_enumeration(table.tolist(), timeout=timeout)
    column, _ = dist.new_subgroups_by_enumeration(table.T.tolist(), timeout=timeout)
    return DiscriminatorParallel(rows, columns, discriminators, row, column, shared_memory)


def _share_statistics(module: nn.Module, group: Any, size: int) -> None:
    """Batch norms of the kind `sync` take their statistics over the group from now on."""

    def total(x: Tensor) -> Tensor:
        return cast(Tensor, differentiable_all_reduce(x.clone(), group=group))

    for layer in module.modules():
        if isinstance(layer, SyncBatchNorm2d) and size > 1:
            layer.sum_over_ranks = total


class _AllReduceGradient(Function):
    """The same tensor; its gradient is the sum over a group's processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=ctx.group)
        return total, None


class _AllGatherDiscriminators(Function):
    """All ranks compute identical gradients, so backward slices locally without a reduction."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mesh: DiscriminatorParallel) -> Tensor:
        ctx.members = mesh.members()
        shares = [mesh._share(place) for place in range(mesh.discriminator)]
        most = max(map(len, shares))
        padded = x.new_zeros(*x.shape[:-2], most, x.shape[-1])
        padded[..., : x.shape[-2], :] = x
        parts = [torch.empty_like(padded) for _ in shares]
        dist.all_gather(parts, padded, group=mesh.row)
        return torch.cat(
            [part[..., : len(share), :] for part, share in zip(parts, shares, strict=True)], dim=-2
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0][..., ctx.members.start : ctx.members.stop, :], None
