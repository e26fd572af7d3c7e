"""Normalisation layers by name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from d3gan.errors import UserError

NORMS = ("batch", "sync", "group", "none")

CHANNELS_PER_GROUP = 8
"""Group norm keeps the size of its groups, not their number, so that a narrow network has few
groups (Wu and He 2018, table 3, compares both; in the demo 8 gave better samples than 16)."""


def make_norm(
    name: str, channels: int, *, running_statistics: bool, affine: bool = True
) -> nn.Module:
    """Return a layer [B, C, H, W] -> [B, C, H, W]; it has buffers only for running statistics.

    `affine` says whether it has a learned scale and shift for each channel. Raises UserError if
    the channels of a group norm do not divide.
    """
    if name == "batch":
        return BatchNorm2d(channels, affine=affine, track_running_stats=running_statistics)
    if name == "sync":
        return SyncBatchNorm2d(channels, affine=affine, track_running_stats=running_statistics)
    if name == "group":
        groups = max(1, channels // CHANNELS_PER_GROUP)
        if channels % groups:
            raise UserError(
                f"group norm cannot divide a layer of {channels} channels into {groups} equal "
                f"groups; choose a width that is a multiple of {CHANNELS_PER_GROUP}"
            )
        return nn.GroupNorm(groups, channels, affine=affine)
    if name == "none":
        return nn.Identity()
    raise ValueError(f"unknown norm {name!r}; allowed: {', '.join(NORMS)}")


class BatchNorm2d(nn.BatchNorm2d):
    """torch's batch norm, which can normalise several batches separately in one call."""

    parts = 1
    """Number of batches of equal size in a call. Set by `separate_statistics`."""

    def forward(self, input: Tensor) -> Tensor:
        if self.parts == 1:
            return self.of_one_batch(input)
        return torch.cat([self.of_one_batch(batch) for batch in input.chunk(self.parts)])

    def of_one_batch(self, input: Tensor) -> Tensor:
        """Return the images [B, C, H, W], normalised with their own statistics."""
        return super().forward(input)


class SyncBatchNorm2d(BatchNorm2d):
    """Batch norm with statistics of the global batch over all ranks, on any device.

    torch.nn.SyncBatchNorm supports CUDA only. `sum_over_ranks` is set from outside; it must be
    differentiable, with the sum over ranks as its backward. Until then there is one rank. Sums and
    counts are in float32 at least: bfloat16 has 8 bits, so that it counts to 256 only.
    """

    sum_over_ranks: Callable[[Tensor], Tensor] | None = None

    def of_one_batch(self, input: Tensor) -> Tensor:
        if self.sum_over_ranks is None or not (self.training or self.running_mean is None):
            return super().of_one_batch(input)
        x = input if input.dtype is torch.float64 else input.float()
        channels = x.shape[1]
        here = torch.cat([x.sum(dim=(0, 2, 3)), x.new_ones(1) * (x.numel() // channels)])
        total = self.sum_over_ranks(here)
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = x - mean[:, None, None]
        # Squared deviations from the mean: E[x^2] - E[x]^2 would cancel in float32.
        variance = self.sum_over_ranks(centred.square().sum(dim=(0, 2, 3))) / count
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum or 0.0)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum or 0.0)
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked.add_(1)
        scale = (variance + self.eps).rsqrt()
        if not self.affine:
            return (centred * scale[:, None, None]).to(input.dtype)
        scaled = centred * (self.weight * scale)[:, None, None] + self.bias[:, None, None]
        return scaled.to(input.dtype)


@contextmanager
def separate_statistics(network: nn.Module, parts: int) -> Iterator[None]:
    """Make batch norms take their input for `parts` batches of equal size within the block."""
    layers = [layer for layer in network.modules() if isinstance(layer, BatchNorm2d)]
    for layer in layers:
        layer.parts = parts
    try:
        yield
    finally:
        for layer in layers:
            layer.parts = 1


class ConditionalNorm(nn.Module):
    """A normalisation whose scale and shift are learned for each class and channel.

    With batch norm: conditional batch norm (Dumoulin et al. 2017, "A learned representation for
    artistic style", equation 5; Miyato and Koyama 2018, section 4).
    """

    def __init__(self, name: str, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = make_norm(name, channels, running_statistics=True, affine=False)
        self.scale = nn.Parameter(torch.ones(classes, channels))
        self.shift = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, input: Tensor, labels: Tensor) -> Tensor:
        """Map [B, C, H, W] and labels int64 [B] to [B, C, H, W]."""
        scale, shift = self.scale[labels], self.shift[labels]
        return torch.addcmul(shift[:, :, None, None], self.norm(input), scale[:, :, None, None])
