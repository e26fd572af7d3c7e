"""Reductions over ranks in the forward and backward passes of networks."""

import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.parallel import DistributedDataParallel

from d3gan.networks.norms import SyncBatchNorm2d
from d3gan.training.distributed.collectives import (
    all_reduce,
    average_gradients,
    backend_of,
    mean_over_ranks,
)

MEGABYTES_REDUCED_AT_ONCE = 4.0
"""Size of the parts in which gradients are reduced on CUDA. Discriminators have about 11 MB each;
with the default of 25 MB the reduction would begin when the backward pass is over."""


def averaging(
    network: nn.Module, group: Any, size: int, *, broadcast_buffers: bool = False
) -> nn.Module:
    """Return the network with its gradients averaged over a group during the backward pass.

    One backward pass must follow every forward pass.
    """
    if size == 1:
        return network
    device = next(network.parameters()).device
    for parameter in network.parameters():
        if parameter.requires_grad and 1 in parameter.shape:
            parameter.register_hook(partial(with_strides_of, parameter))
    with warnings.catch_warnings():
        # torch 2.13 renames broadcast_buffers; 2.9 has no other name for it.
        warnings.simplefilter("ignore", FutureWarning)
        wrapped = DistributedDataParallel(
            network,
            device_ids=[device.index] if device.type == "cuda" else None,
            process_group=group,
            broadcast_buffers=broadcast_buffers,
            gradient_as_bucket_view=True,
            bucket_cap_mb=MEGABYTES_REDUCED_AT_ONCE if device.type == "cuda" else None,
        )
    # It would time an iteration now and then, which a CUDA graph must not do.
    wrapped._set_ddp_runtime_logging_sample_rate(2**31 - 1)
    if backend_of(device.type, group) == "gloo":
        wrapped.register_comm_hook(group, average_gradients)
    return wrapped


def with_strides_of(parameter: Tensor, gradient: Tensor) -> Tensor:
    """Return a view of the gradient whose strides are those of the parameter, where that is one.

    The stride of a dimension of size 1 (one channel, a 1 x 1 kernel) says nothing, and kernels
    choose it differently. DistributedDataParallel compares all strides and warns of differences.
    """
    strides = zip(parameter.shape, parameter.stride(), gradient.stride(), strict=True)
    if any(size > 1 and own != other for size, own, other in strides):
        return gradient  # in another order of memory, which autograd changes
    return gradient.as_strided(parameter.shape, parameter.stride())


def data_parallel_modules(networks: Iterable[nn.Module]) -> Iterator[DistributedDataParallel]:
    """Yield the modules of these networks that reduce gradients."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, DistributedDataParallel):
                yield module


def share_statistics(module: nn.Module, group: Any, size: int) -> None:
    """Make batch norms of the kind `sync` compute their statistics over the group."""

    def total(x: Tensor) -> Tensor:
        return cast(Tensor, _Sum.apply(x, group))  # type: ignore[no-untyped-call]

    for layer in module.modules():
        if isinstance(layer, SyncBatchNorm2d) and size > 1:
            layer.sum_over_ranks = total


def _summed(x: Tensor, group: Any) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    all_reduce(total, group)
    return total


class _Sum(Function):
    """The sum over a group's ranks. The sum of the losses over ranks is what is differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return _summed(x, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Sum.apply(gradients[0], ctx.group), None  # type: ignore[no-untyped-call]


class Mean(Function):
    """The mean over all ranks. The mean of the losses over ranks is what is differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return mean_over_ranks(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return mean_over_ranks(gradients[0])


class RowGenerator(nn.Module):
    """A generator whose images collect the gradients of a row's discriminators."""

    def __init__(self, wrapped: nn.Module, row: Any) -> None:
        super().__init__()
        self.wrapped, self.row = wrapped, row

    def forward(self, *inputs: Tensor) -> Tensor:
        return cast(Tensor, _SumOfGradients.apply(self.wrapped(*inputs), self.row))  # type: ignore[no-untyped-call]


class _SumOfGradients(Function):
    """The same tensor; its gradient is the sum over a group's ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _summed(gradients[0], ctx.group), None
