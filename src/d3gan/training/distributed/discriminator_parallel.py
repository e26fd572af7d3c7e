"""How ranks divide the work: parts of the batch and, if requested, of the discriminators."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function

from d3gan.config import TrainConfig
from d3gan.data.sampler import shard
from d3gan.errors import UserError
from d3gan.training.distributed.collectives import (
    all_gather,
    backend_of,
    first_reason,
    from_main,
    gathered,
    rank,
    world_size,
)
from d3gan.training.distributed.reductions import (
    Mean,
    RowGenerator,
    averaging,
    data_parallel_modules,
    share_statistics,
)

T = TypeVar("T")


@dataclass(frozen=True)
class DiscriminatorParallel:
    """A grid of ranks: row d has part d of every batch, column k has share k of the discriminators.

    Every rank has the generator.
    """

    data: int
    """Number of rows."""
    discriminator: int
    """Number of columns, which is the number of ranks in a row."""
    discriminators: int
    """Number N of discriminators in all shares together."""
    row: Any = None
    """Process group of the ranks in this rank's row."""
    column: Any = None
    """Process group of the ranks in this rank's column."""

    @property
    def size(self) -> int:
        """Number of ranks. One rank may compute alone within a larger process group."""
        return self.data * self.discriminator

    def images(self, batch_size: int) -> range:
        """Return the positions of this rank's part of a batch."""
        return shard(batch_size, rank() // self.discriminator, self.data)

    def members(self) -> range:
        """Return the numbers of this rank's discriminators."""
        return self._share(rank() % self.discriminator)

    def _share(self, column: int) -> range:
        return shard(self.discriminators, column, self.discriminator)

    def generator(self, network: nn.Module, *, reduce_gradients: bool = True) -> nn.Module:
        """Return the generator with its gradients averaged over all ranks.

        The gradients that the discriminators of a row give the generated images are summed.
        Without `reduce_gradients` the caller averages the gradients of the parameters.
        """
        share_statistics(network, self.column, self.data)
        wrapped = averaging(network, None, self.size) if reduce_gradients else network
        return wrapped if self.discriminator == 1 else RowGenerator(wrapped, self.row)

    def ensemble(self, network: nn.Module) -> nn.Module:
        """Return this rank's discriminators with their gradients averaged over its column.

        Their buffers, if they have any, are those of the column's first rank in every forward pass.
        """
        share_statistics(network, self.column, self.data)
        buffered = next(network.buffers(), None) is not None
        return averaging(network, self.column, self.data, broadcast_buffers=buffered)

    @contextmanager
    def no_sync(self, *networks: nn.Module) -> Iterator[None]:
        """Accumulate gradients in these networks within the block, without averaging them."""
        with ExitStack() as stack:
            for module in data_parallel_modules(networks):
                stack.enter_context(module.no_sync())
            yield

    def is_recordable(self) -> bool:
        """Return whether a CUDA graph can hold a step's collectives: there are none, or NCCL's."""
        return self.size == 1 or backend_of("cuda") == "nccl"

    def forget_unfinished(self, *networks: nn.Module) -> None:
        """Reset the reduction of these networks' gradients after an incomplete backward pass."""
        for module in data_parallel_modules(networks):
            module.reducer._reset_state()

    def first_reason(self, reason: str) -> str:
        """Return the first reason of all ranks that is not empty, or else ""."""
        return first_reason(reason) if self.size > 1 else reason

    def all_gather_discriminators(self, x: Tensor) -> Tensor:
        """Return [..., N, B] of all discriminators, given [..., n, B] of this rank's.

        The gradient is that of this rank's part.
        """
        if self.discriminator == 1:
            return x
        return cast(Tensor, _AllGatherDiscriminators.apply(x, self))  # type: ignore[no-untyped-call]

    def mean_over_ranks(self, x: Tensor) -> Tensor:
        """Return the mean over all ranks, the same on each, bit for bit. It is differentiable."""
        return cast(Tensor, Mean.apply(x)) if self.size > 1 else x  # type: ignore[no-untyped-call]

    def from_main(self, work: Callable[[], T]) -> T:
        """Run `work` on the main rank; return its result, or raise its UserError, on all ranks."""
        return work() if self.size == 1 else from_main(work)

    def gather_row(self, part: T) -> list[T] | None:
        """Return the `part` of each rank of the first row on the main rank, else None.

        Tensors in dictionaries, lists and tuples arrive on the CPU, whatever device they are on.
        """
        if rank() >= self.discriminator:
            return None
        return [part] if self.discriminator == 1 else gathered(_on_cpu(part), self.row)


def mesh_shape(text: str, processes: int) -> tuple[int, int]:
    """Return the rows and columns that `train.mesh` describes.

    The default is one column, and as many rows as there are processes for.
    """
    axes = {name: int(size) for name, size in (axis.split("=") for axis in text.split(",") if axis)}
    columns = axes.get("discriminator", 1)
    return axes.get("data", max(1, processes // columns)), columns


def make_discriminator_parallel(train: TrainConfig, discriminators: int) -> DiscriminatorParallel:
    """Return the grid of ranks that `train.mesh` describes. All ranks call it together.

    Raises UserError, on all ranks, if the grid does not fit the number of processes or has more
    columns than there are discriminators.
    """
    rows, columns = mesh_shape(train.mesh, world_size())
    if rows * columns != world_size():
        raise UserError(
            f"train.mesh = '{train.mesh}': needs {rows * columns} processes, and there are "
            f"{world_size()}; start {rows * columns}, or change --train.mesh "
            "('' divides the batch only)"
        )
    if columns > discriminators:
        raise UserError(
            f"train.mesh = '{train.mesh}': there are only {discriminators} discriminators to divide"
        )
    if columns == 1:
        return DiscriminatorParallel(rows, 1, discriminators)
    timeout = timedelta(seconds=train.timeout_seconds)
    ranks = torch.arange(rows * columns).view(rows, columns)
    row, _ = dist.new_subgroups_by_enumeration(ranks.tolist(), timeout=timeout)
    column, _ = dist.new_subgroups_by_enumeration(ranks.T.tolist(), timeout=timeout)
    return DiscriminatorParallel(rows, columns, discriminators, row, column)


class _AllGatherDiscriminators(Function):
    """All ranks compute identical gradients, so backward slices locally without a reduction."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, parallel: DiscriminatorParallel) -> Tensor:
        ctx.members = parallel.members()
        shares = [parallel._share(column) for column in range(parallel.discriminator)]
        most = max(map(len, shares))
        padded = x.new_zeros(*x.shape[:-2], most, x.shape[-1])
        padded[..., : x.shape[-2], :] = x
        parts = [torch.empty_like(padded) for _ in shares]
        all_gather(parts, padded, parallel.row)
        return torch.cat(
            [part[..., : len(share), :] for part, share in zip(parts, shares, strict=True)], dim=-2
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0][..., ctx.members.start : ctx.members.stop, :], None


def _on_cpu(part: Any) -> Any:
    if isinstance(part, Tensor):
        return part.cpu()
    if isinstance(part, dict):
        return {name: _on_cpu(one) for name, one in part.items()}
    return type(part)(map(_on_cpu, part)) if isinstance(part, list | tuple) else part
