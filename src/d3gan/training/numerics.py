"""How CUDA computes the products of a training step."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from d3gan.config import TrainConfig
from d3gan.evaluation.numerics import float32_products


@contextmanager
def training_numerics(train: TrainConfig, device: torch.device) -> Iterator[None]:
    """Compute products within the block as `train.precision` says; changes nothing on a CPU.

    fp32 is float32 with all its digits, and tf32 rounds the factors to TF32. Unless
    `train.deterministic`, cuDNN chooses its algorithms by measuring them.
    """
    if device.type != "cuda":
        yield
        return
    benchmark = torch.backends.cudnn.benchmark
    with float32_products(tf32=train.precision == "tf32"):
        torch.backends.cudnn.benchmark = not train.deterministic
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = benchmark
