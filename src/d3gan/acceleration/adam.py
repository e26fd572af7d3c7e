"""Adam for channels-last weights on CPUs."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam


class ChannelsLastAdam(Adam):
    """Adam whose fused kernel gets tensors in the order of memory.

    On CPUs the kernel (torch 2.13) copies channels-last tensors in every step, and gives wrong
    results for a gradient that is laid out otherwise than its weights.
    """

    def _init_group(self, group: dict[str, Any], *columns: list[Tensor]) -> bool:
        has_complex: bool = super()._init_group(group, *columns)  # type: ignore[no-untyped-call]
        weights, *others = columns[:4]  # gradients and both moments
        for tensors in others:
            tensors[:] = [_in_order(x, like=w) for x, w in zip(tensors, weights, strict=True)]
        weights[:] = [_in_order(w, like=w) for w in weights]
        return has_complex


def _in_order(x: Tensor, like: Tensor) -> Tensor:
    """Return a view of `x` in the order in which the memory of `like` holds its numbers."""
    if like.is_contiguous() or not like.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
