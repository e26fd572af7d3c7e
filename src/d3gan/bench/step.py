"""Time of a training step of d3gan and of the baseline, and the limits of the device."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.profiler import profile

from d3gan.acceleration.precision import DTYPES, multiplies_bfloat16
from d3gan.bench.timing import (
    Trainer,
    make_trainer,
    spread,
    timed,
    timed_steps,
    warmed_up,
)
from d3gan.config import Config
from d3gan.data.cache import ImageSet
from d3gan.evaluation.numerics import float32_products
from d3gan.training.flops import counted_flops
from d3gan.training.usage import peak_memory_bytes, reset_peak_memory, synchronise


def measure(
    config: Config,
    engines: Sequence[str],
    data: ImageSet,
    device: torch.device,
    *,
    steps: int,
    warm_up: int,
    rounds: int,
) -> list[dict[str, Any]]:
    """Return a row of results for each of `engines` ("d3gan", "baseline").

    After `warm_up` steps, `rounds` blocks of `steps` steps of every engine alternate, with the
    baseline always among them; each round also measures the limits of the device. Numbers are
    medians over rounds; `..._low` and `..._high` are the smallest and the largest.
    """
    names = list(dict.fromkeys([*engines, "baseline"]))
    memory: dict[str, int | None] = {}
    flops, parts = {}, {}
    for name in engines:  # one at a time, before the others occupy memory
        reset_peak_memory(device)
        warmed_up(make_trainer(name, config, data, device), warm_up)
        memory[name] = peak_memory_bytes(device)
        plain = make_trainer(name, config, data, device, graph=False)
        flops[name] = counted_flops(plain.step)
        parts[name] = timed_parts(plain, steps)
        del plain
    trainers = {name: make_trainer(name, config, data, device) for name in names}
    for trainer in trainers.values():
        warmed_up(trainer, warm_up)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    limits: list[tuple[float, float]] = []
    for _ in range(rounds):
        for name, trainer in trainers.items():
            seconds[name].append(timed_steps(trainer, steps) / steps)
        limits.append(device_limits(device, config.train.precision))
    matmul, copy = (median(column) for column in zip(*limits, strict=True))
    rows = []
    for name in engines:
        ratios = [b / s for b, s in zip(seconds["baseline"], seconds[name], strict=True)]
        rows.append(
            {
                "engine": name,
                "discriminators": config.gan.discriminators,
                "batch_size": config.train.batch_size,
                "precision": trainers[name].config.train.precision,
                "processes": 1,
                **spread("images_per_second", [config.images_per_step / s for s in seconds[name]]),
                **spread("ms_per_step", [1000 * s for s in seconds[name]]),
                **spread("ratio_to_baseline", ratios),
                "parts_ms": parts[name],
                "flops_per_step": flops[name],
                "flops_per_second": flops[name] / median(seconds[name]),
                "matmul_flops_per_second": matmul,
                "copy_bytes_per_second": copy,
                "peak_memory_bytes": memory[name],
                "rounds": rounds,
            }
        )
    return rows


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


def device_limits(device: torch.device, precision: str) -> tuple[float, float]:
    """Return the operations per second of a large matrix product and bytes per second of a copy.

    A copy reads and writes, and both are counted.
    """
    dtype = DTYPES[precision]
    if precision == "bf16" and multiplies_bfloat16(device):
        dtype = torch.bfloat16
    side = 8192 if device.type == "cuda" else 1024
    a = torch.ones(side, side, device=device, dtype=dtype)
    with float32_products(tf32=precision == "tf32"):  # as the steps compute
        matmul = min(timed(lambda: a @ a, 1, device) for _ in range(5))
    x = torch.ones(2**28 if device.type == "cuda" else 2**25, device=device)
    y = torch.empty_like(x)
    copy = min(timed(lambda: y.copy_(x), 1, device) for _ in range(5))
    return 2 * side**3 / matmul, 2 * x.nbytes / copy


def write_trace(trainer: Trainer, steps: int, file: Path) -> None:
    """Write a Chrome trace of so many steps (chrome://tracing, ui.perfetto.dev)."""
    with profile() as profiler:
        timed_steps(trainer, steps)
    profiler.export_chrome_trace(str(file))
