"""What all benchmarks share: the trainers that are timed, their steps, and rows of results."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch

from d3gan.bench.baseline import Baseline
from d3gan.config import Config, from_dict
from d3gan.data.cache import ImageSet
from d3gan.devices import synchronise
from d3gan.training.distributed import DiscriminatorParallel
from d3gan.training.engine import Engine
from d3gan.training.kernels import choose_kernels
from d3gan.training.preparation import with_precision
from d3gan.training.state import make_state

Trainer = Engine | Baseline
"""What is timed: d3gan's own steps, or those of the plain loop."""


def make_trainer(
    name: str,
    config: Config,
    data: ImageSet,
    device: torch.device,
    parallel: DiscriminatorParallel | None = None,
    *,
    graph: bool | None = None,
) -> Trainer:
    """Return the trainer "d3gan" or "baseline"; the baseline computes in fp32 instead of bf16.

    Without `graph` no step is replayed as a CUDA graph.
    """
    config = with_precision(config, device)
    plain = name == "baseline"
    if plain and config.train.precision == "bf16":
        config = from_dict({"train": {"precision": "fp32"}}, config)
    state = make_state(config, device, parallel, data.classes, plain=plain)
    if plain:
        return Baseline(config, state, data.images, device, data.labels)
    choose_kernels(config, state)
    return Engine(config, state, data.images, device, data.labels, graph=graph)


def timed(work: Callable[[], object], times: int, device: torch.device) -> float:
    """Return the seconds that calling `work` so many times takes, until the device has finished."""
    synchronise(device)
    start = time.perf_counter()
    for _ in range(times):
        work()
    synchronise(device)
    return time.perf_counter() - start


def timed_steps(trainer: Trainer, steps: int) -> float:
    """Return the seconds that so many steps take."""
    return timed(trainer.step, steps, trainer.device)


def warmed_up(trainer: Trainer, steps: int) -> Trainer:
    """Return the trainer after `steps` steps, or more if its step is recorded only after them."""
    timed_steps(trainer, max(steps, trainer.warm_up_steps))
    return trainer


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Return median and extremes of repeated timings: name, name_low, name_high."""
    return {
        name: statistics.median(values),
        f"{name}_low": min(values),
        f"{name}_high": max(values),
    }
