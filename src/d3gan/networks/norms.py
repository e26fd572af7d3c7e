"""Normalisation layers by name."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

NORMS = ("batch", "sync", "group", "none")

CHANNELS_PER_GROUP = 8
"""Group norm keeps the size of its groups, not their number, so that a narrow network has few
groups (Wu and He 2018, table 3, compares both; in the demo 8 gave better samples than 16)."""


def make_norm(name: str, channels: int, *, running_statistics: bool) -> nn.Module:
    """Return a layer [B, C, H, W] -> [B, C, H, W]; it has buffers only for running statistics."""
    if name == "batch":
        return nn.BatchNorm2d(channels, track_running_stats=running_statistics)
    if name == "sync":
        return SyncBatchNorm2d(channels, track_running_stats=running_statistics)
    if name == "group":
        return nn.GroupNorm(max(1, channels // CHANNELS_PER_GROUP), channels)
    if name == "none":
        return nn.Identity()
    raise ValueError(f"unknown norm {name!r}; allowed: {', '.join(NORMS)}")


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with statistics of the global batch over all ranks, on any device.

    torch.nn.SyncBatchNorm supports CUDA only. `sum_over_ranks` is set from outside; it must be
    differentiable, with the sum over ranks as its backward. Until then there is one rank.
    """

    sum_over_ranks: Callable[[Tensor], Tensor] | None = None

    def forward(self, input: Tensor) -> Tensor:
        if self.sum_over_ranks is None or not (self.training or self.running_mean is None):
            return super().forward(input)
        channels = input.shape[1]
        here = torch.cat(
            [input.sum(dim=(0, 2, 3)), input.new_ones(1) * (input.numel() // channels)]
        )
        total = self.sum_over_ranks(here)
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = input - mean[:, None, None]
        # Squared deviations from the mean: E[x^2] - E[x]^2 would cancel in float32.
        variance = self.sum_over_ranks(centred.square().sum(dim=(0, 2, 3))) / count
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum or 0.0)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum or 0.0)
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]
