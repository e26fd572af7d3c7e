"""How products of float32 numbers are computed on CUDA."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch


def without_tf32() -> AbstractContextManager[None]:
    """Return a context in which an evaluation computes, whatever is set outside."""
    return float32_products(tf32=False)


@contextmanager
def float32_products(*, tf32: bool) -> Iterator[None]:
    """Compute products of float32 on CUDA in float32 within the block, or in TF32.

    By default torch rounds the factors of convolutions, not those of matrix products, to the 10
    bits of TF32, which changes results in the third digit. It has an older switch and newer
    settings for it, and refuses to read the switch where the two contradict each other, so both are
    set.
    """
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    settings = (cudnn.conv, cudnn.rnn, matmul)
    before = [setting.fp32_precision for setting in settings]
    switches = {cudnn: _switch(cudnn, default=True), matmul: _switch(matmul, default=False)}
    try:
        for place in switches:
            place.allow_tf32 = tf32
        for setting in settings:
            setting.fp32_precision = "tf32" if tf32 else "ieee"
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
