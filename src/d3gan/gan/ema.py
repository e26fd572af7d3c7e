"""An exponential moving average of the generator, which samples better than its last state."""

import torch
from torch import Tensor, nn

RAMP_UP = 0.05
"""Early on the half-life is at most this share of the images seen, so that the random start is
soon forgotten (Karras et al. 2022, EDM, `ema_rampup_ratio`)."""


def ema_decay(batch_size: int, images: int, half_life_images: float) -> float:
    """The weight that the average keeps at one step, after `images` images were seen."""
    half_life = min(half_life_images, RAMP_UP * images)
    return float(0.5 ** (batch_size / max(half_life, 1e-8)))


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float | Tensor) -> None:
    """average <- decay * average + (1 - decay) * model; buffers are copied."""
    mine: list[Tensor] = list(average.parameters())
    theirs: list[Tensor] = list(model.parameters())
    if isinstance(decay, Tensor):  # on the device, where no lerp takes one for all
        torch._foreach_sub_(mine, theirs)
        torch._foreach_mul_(mine, decay)
        torch._foreach_add_(mine, theirs)
    else:
        torch._foreach_lerp_(mine, theirs, 1 - decay)
    for buffer, new in zip(average.buffers(), model.buffers(), strict=True):
        buffer.copy_(new)
