"""Number of floating-point operations of a training step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from d3gan.acceleration.products import ONEDNN_PRODUCT
from d3gan.config import Config, DataConfig, TrainConfig
from d3gan.training.engine import Engine
from d3gan.training.state import make_state

_BATCH = 2
"""Images of the step that is counted; batch normalisation needs two."""


def flops_per_step(config: Config, classes: int = 0) -> float:
    """Return the operations of one step's convolutions and matrix products, over all processes.

    A multiplication and its addition are two operations. The number depends on the method alone,
    not on the device, the precision or the number of processes: it is that of a small batch on new
    networks on the CPU, in proportion to the batch size, because the work of every layer is.
    Discriminators whose weight is zero at this step are counted as they are computed.
    """
    small = Config(
        data=DataConfig(resolution=config.data.resolution, channels=config.data.channels),
        model=config.model,
        gan=config.gan,
        train=TrainConfig(batch_size=_BATCH),
    )
    cpu, side = torch.device("cpu"), config.data.resolution
    images = np.zeros((_BATCH, config.data.channels, side, side), np.uint8)
    labels = np.zeros(_BATCH, np.int64)
    with torch.random.fork_rng(devices=[]):  # of which torch draws arbitrary weights
        state = make_state(small, cpu, classes=classes, initialise=False)
        engine = Engine(small, state, images, cpu, labels)
        operations = counted_flops(engine.step)
    return operations * config.train.batch_size / _BATCH


def counted_flops(step: Callable[[], object]) -> int:
    """Return the operations of a training step, which is made."""
    counter = _Counter()
    with counter:
        step()
    return counter.operations


class _Counter(TorchDispatchMode):
    """torch's FlopCounterMode without its hooks on modules, which fail when a gradient is taken
    with respect to a network's input, as gradient penalties do."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func.overloadpacket):
            self.operations += int(count(*args, **(kwargs or {}), out_val=out))
        elif func.name() == ONEDNN_PRODUCT:
            self.operations += 2 * args[0].numel() * args[1].shape[0]
        return out
