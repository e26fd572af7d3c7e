"""Time of a training step of d3gan and of the baseline, and the limits of the device."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.profiler import profile

from d3gan.acceleration.convolutions import convolutions, kernel_of
from d3gan.acceleration.memory import release_freed_memory
from d3gan.bench.limits import device_limits
from d3gan.bench.timing import (
    Trainer,
    make_trainer,
    spread,
    timed_steps,
    warmed_up,
)
from d3gan.config import Config
from d3gan.data.cache import ImageSet
from d3gan.devices import synchronise
from d3gan.training.flops import counted_flops
from d3gan.training.usage import peak_memory_bytes, reset_peak_memory

ENGINES = ("d3gan", "baseline")

LEAST_SECONDS = 0.5
"""Time of a block whose number of steps is not given."""


def measure(
    config: Config, data: ImageSet, device: torch.device, *, steps: int, warm_up: int, rounds: int
) -> list[dict[str, Any]]:
    """Return two rows of results, of d3gan and of the baseline.

    After `warm_up` steps, `rounds` blocks of `steps` steps of both alternate; each round also
    measures the limits of the device. With `steps` = 0, a block has as many steps of d3gan as take
    half a second. Numbers are medians over rounds; `..._low` and `..._high` are the smallest and
    the largest. The memory is the peak of the first steps, each engine alone.
    """
    alone = {name: _alone(name, config, data, device, warm_up) for name in ENGINES}
    trainers = {name: make_trainer(name, config, data, device) for name in ENGINES}
    for trainer in trainers.values():
        warmed_up(trainer, warm_up)
    steps = steps or max(1, round(LEAST_SECONDS / timed_steps(trainers["d3gan"], 1)))
    seconds: dict[str, list[float]] = {name: [] for name in ENGINES}
    limits: list[tuple[float, float]] = []
    for _ in range(rounds):
        for name, trainer in trainers.items():
            seconds[name].append(timed_steps(trainer, steps) / steps)
        limits.append(device_limits(device, config.train.precision))
    matmul, copy = (median(column) for column in zip(*limits, strict=True))
    rows = []
    for name in ENGINES:
        ratios = [b / s for b, s in zip(seconds["baseline"], seconds[name], strict=True)]
        rows.append(
            {
                "engine": name,
                "preset": config.name,
                "discriminators": config.gan.discriminators,
                "batch_size": config.train.batch_size,
                "width": config.model.discriminator_width,
                "resolution": config.data.resolution,
                "precision": trainers[name].config.train.precision,
                "processes": 1,
                **spread("images_per_second", [config.images_per_step / s for s in seconds[name]]),
                **spread("ms_per_step", [1000 * s for s in seconds[name]]),
                **spread("ratio_to_baseline", ratios),
                **alone[name],
                "flops_per_second": alone[name]["flops_per_step"] / median(seconds[name]),
                "matmul_flops_per_second": matmul,
                "copy_bytes_per_second": copy,
                "steps": steps,
                "rounds": rounds,
            }
        )
    return rows


def _alone(
    name: str, config: Config, data: ImageSet, device: torch.device, warm_up: int
) -> dict[str, Any]:
    """Return what is measured of an engine before the other one occupies memory."""
    release_freed_memory()
    reset_peak_memory(device)
    trainer = warmed_up(make_trainer(name, config, data, device), warm_up)
    memory = peak_memory_bytes(device)
    if device.type == "cuda":  # a recorded step has no parts
        trainer = make_trainer(name, config, data, device, graph=False)
    kernels = Counter(
        kernel_of(module)
        for network in (trainer.state.generator, trainer.state.discriminators)
        for module in convolutions(network).values()
    )
    return {
        "peak_memory_bytes": memory,
        "flops_per_step": counted_flops(trainer.step),
        "parts_ms": timed_parts(trainer, 1),
        "kernels": dict(kernels),
        "joined": trainer.state.discriminators.join,
        "way": trainer.state.discriminators.way,
    }


def timed_parts(trainer: Trainer, steps: int) -> dict[str, float]:
    """Return the milliseconds of each part of a step, medians of `steps` steps.

    data: order and images; d_phase: the generator's images, forward and backward passes of the
    discriminators; g_phase: the same for the generator; optimizers; rest: noise and the EMA. The
    device is synchronised after each part, so their sum exceeds the time of a step. Steps that are
    replayed as a CUDA graph have no parts.
    """
    found: dict[str, list[float]] = {}
    for _ in range(steps):
        times: dict[str, float] = {}
        with _parts(trainer, times):
            trainer.step()
        for name, seconds in times.items():
            found.setdefault(name, []).append(1000 * seconds)
    return {name: median(values) for name, values in found.items()}


@contextmanager
def _parts(trainer: Trainer, times: dict[str, float]) -> Iterator[None]:
    """Add to `times` the seconds of each part of the step in the block."""
    last = time.perf_counter()

    def end(part: str) -> None:
        nonlocal last
        synchronise(trainer.device)
        now = time.perf_counter()
        times[part] = times.get(part, 0.0) + now - last
        last = now

    def ends(part: str) -> Callable[..., None]:
        return lambda *_: end(part)

    real_images = trainer.real_images

    def timed(batch: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        end("rest")
        images = real_images(batch)
        end("data")
        return images

    state = trainer.state
    hooks = []
    for optimizer, phase in ((state.optimizer_d, "d_phase"), (state.optimizer_g, "g_phase")):
        hooks.append(optimizer.register_step_pre_hook(ends(phase)))
        hooks.append(optimizer.register_step_post_hook(ends("optimizers")))
    trainer.real_images = timed  # type: ignore[method-assign, assignment]
    synchronise(trainer.device)
    last = time.perf_counter()
    try:
        yield
        end("rest")
    finally:
        del trainer.real_images
        for hook in hooks:
            hook.remove()


def write_trace(trainer: Trainer, steps: int, file: Path) -> None:
    """Write a Chrome trace of so many steps (chrome://tracing, ui.perfetto.dev)."""
    with profile() as profiler:
        timed_steps(trainer, steps)
    profiler.export_chrome_trace(str(file))
