"""Exponential moving average (EMA) of the generator's weights."""

import torch
from torch import Tensor, nn


def ema_decay(
    batch_size: int, images: int, half_life_images: float, ramp_up: float = 0.05
) -> float:
    """Return the weight that the average keeps in one step, after `images` images were seen.

    The half-life is at most the share `ramp_up` of the images seen, so that the random initial
    weights are soon forgotten (Karras et al. 2022, EDM, `ema_rampup_ratio`); 0: no ramp-up. A
    half-life of 0 keeps nothing: the average becomes a copy of the weights.
    """
    half_life = min(half_life_images, ramp_up * images) if ramp_up else half_life_images
    return float(0.5 ** (batch_size / max(half_life, 1e-8)))


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float | Tensor) -> None:
    """Set ema <- decay * ema + (1 - decay) * model in place; buffers are copied."""
    averages: list[Tensor] = list(ema.parameters())
    weights: list[Tensor] = list(model.parameters())
    if isinstance(decay, Tensor):  # on the device, where lerp takes no scalar tensor for all
        torch._foreach_sub_(averages, weights)
        torch._foreach_mul_(averages, decay)
        torch._foreach_add_(averages, weights)
    else:
        torch._foreach_lerp_(averages, weights, 1 - decay)
    for buffer, new in zip(ema.buffers(), model.buffers(), strict=True):
        buffer.copy_(new)
