"""How numbers are computed in an evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def without_tf32() -> Iterator[None]:
    """Compute products of float32 on CUDA in float32 within the block, whatever is set outside.

    By default torch rounds the factors of convolutions to the 10 bits of TF32, which changes
    features in the third digit. It has an older switch and newer settings for it, and refuses to
    read the switch where the two contradict each other, so both are set.
    """
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    settings = (cudnn.conv, cudnn.rnn, matmul)
    before = [setting.fp32_precision for setting in settings]
    switches = {cudnn: _switch(cudnn, default=True), matmul: _switch(matmul, default=False)}
    try:
        for place in switches:
            place.allow_tf32 = False
        for setting in settings:
            setting.fp32_precision = "ieee"
        yield
    finally:
        for place, value in switches.items():
            place.allow_tf32 = value
        for setting, precision in zip(settings, before, strict=True):
            setting.fp32_precision = precision


def _switch(place: Any, *, default: bool) -> bool:
    """Return the older switch; torch's default where only the newer settings were used."""
    try:
        return bool(place.allow_tf32)
    except RuntimeError:
        return default
