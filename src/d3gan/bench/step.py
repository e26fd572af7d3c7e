"""How long a step takes, of which engine, and how far that is from what the device could do."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.profiler import profile

from d3gan.acceleration.precision import DTYPES, multiplies_bfloat16
from d3gan.bench.baseline import Baseline
from d3gan.config import Config, from_dict
from d3gan.images import Images
from d3gan.study.statistics import spread
from d3gan.training.engine import Engine
from d3gan.training.flops import counted_flops
from d3gan.training.state import make_state
from d3gan.training.usage import peak_memory_bytes, reset_peak_memory, synchronise

Trainer = Engine | Baseline
"""What is timed: d3gan's own steps, or those of the plain loop."""


def make_trainer(
    name: str, config: Config, images: Images, device: torch.device, *, graph: bool | None = None
) -> Trainer:
    """Return the trainer "d3gan" or "baseline"; the baseline computes in fp32 instead of bf16."""
    if name == "baseline":
        if config.train.precision == "bf16":
            config = from_dict({"train": {"precision": "fp32"}}, config)
        return Baseline(config, make_state(config, device, plain=True), images, device)
    return Engine(config, make_state(config, device), images, device, graph=graph)


def measure(
    config: Config,
    engines: Sequence[str],
    images: Images,
    device: torch.device,
    *,
    steps: int,
    warm_up: int,
    rounds: int,
) -> list[dict[str, Any]]:
    """A row of results for each engine on `images`; the engines take turns, block by block.

    After `warm_up` steps come `rounds` blocks of `steps` steps of every engine, the baseline
    among them, and of what the device can do at most: a matrix product and a copy. Numbers
    are medians; `..._low` and `..._high` are the smallest and the largest.
    """
    names = list(dict.fromkeys([*engines, "baseline"]))
    memory: dict[str, int | None] = {}
    flops, parts = {}, {}
    for name in engines:  # each alone, while the others' memory is not taken yet
        reset_peak_memory(device)
        timed_steps(make_trainer(name, config, images, device), warm_up)
        memory[name] = peak_memory_bytes(device)
        plain = make_trainer(name, config, images, device, graph=False)
        flops[name] = counted_flops(plain)
        parts[name] = timed_parts(plain, steps)
        del plain
    made = {name: make_trainer(name, config, images, device) for name in names}
    for engine in made.values():
        timed_steps(engine, warm_up)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    limits: list[tuple[float, float]] = []
    for _ in range(rounds):
        for name, engine in made.items():
            seconds[name].append(timed_steps(engine, steps) / steps)
        limits.append(device_limits(device, config.train.precision))
    matmul, copy = (median(column) for column in zip(*limits, strict=True))
    images_per_step = config.images_per_step
    rows = []
    for name in engines:
        ratios = [r / s for r, s in zip(seconds["baseline"], seconds[name], strict=True)]
        rates = [images_per_step / s for s in seconds[name]]
        rows.append(
            {
                "engine": name,
                "discriminators": config.gan.discriminators,
                "batch_size": config.train.batch_size,
                "precision": made[name].config.train.precision,
                "processes": 1,
                **spread("images_per_second", rates),
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


def timed_steps(engine: Trainer, steps: int) -> float:
    """Seconds that so many steps take."""
    synchronise(engine.device)
    start = time.perf_counter()
    for _ in range(steps):
        engine.step()
    synchronise(engine.device)
    return time.perf_counter() - start


def timed_parts(engine: Trainer, steps: int) -> dict[str, float]:
    """Milliseconds of each part of a step, medians of `steps` steps.

    data: order and images; d_phase: the generator's images, the discriminators forward and back;
    g_phase: the same for the generator; optimizers; rest: noise and the moving average. Each part
    is waited for, so that they add up to more than a step that is not looked at; and an engine that
    replays its steps (CUDA graphs) has no parts to be seen: see `make_engine`.
    """
    found: dict[str, list[float]] = {}
    for _ in range(steps):
        times: dict[str, float] = {}
        with _parts(engine, times):
            engine.step()
        for name, seconds in times.items():
            found.setdefault(name, []).append(1000 * seconds)
    return {name: median(values) for name, values in found.items()}


@contextmanager
def _parts(engine: Trainer, times: dict[str, float]) -> Iterator[None]:
    """Add to `times` the seconds of each part of the step within."""
    last = time.perf_counter()

    def mark(part: str) -> None:
        nonlocal last
        synchronise(engine.device)
        now = time.perf_counter()
        times[part] = times.get(part, 0.0) + now - last
        last = now

    def ends(part: str) -> Callable[..., None]:
        return lambda *_: mark(part)

    real_images = engine.real_images

    def watched(batch: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        mark("rest")
        images = real_images(batch)
        mark("data")
        return images

    state = engine.state
    hooks = []
    for optimizer, phase in ((state.optimizer_d, "d_phase"), (state.optimizer_g, "g_phase")):
        hooks.append(optimizer.register_step_pre_hook(ends(phase)))
        hooks.append(optimizer.register_step_post_hook(ends("optimizers")))
    engine.real_images = watched  # type: ignore[method-assign, assignment]
    synchronise(engine.device)
    last = time.perf_counter()
    try:
        yield
        mark("rest")
    finally:
        del engine.real_images
        for hook in hooks:
            hook.remove()


def device_limits(device: torch.device, precision: str) -> tuple[float, float]:
    """Operations per second of a large matrix product, bytes per second of a large copy.

    A copy reads and writes, and both are counted.
    """
    dtype = DTYPES[precision]
    if precision == "bf16" and multiplies_bfloat16(device):
        dtype = torch.bfloat16
    side = 8192 if device.type == "cuda" else 1024
    a = torch.ones(side, side, device=device, dtype=dtype)
    matmul = _fastest(lambda: a @ a, device)
    x = torch.ones(2**28 if device.type == "cuda" else 2**25, device=device)
    y = torch.empty_like(x)
    copy = _fastest(lambda: y.copy_(x), device)
    return 2 * side**3 / matmul, 2 * x.nbytes / copy


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of five."""
    times = []
    for _ in range(5):
        synchronise(device)
        start = time.perf_counter()
        work()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return min(times)


def write_trace(engine: Trainer, steps: int, file: Path) -> None:
    """A Chrome trace of so many steps (chrome://tracing, ui.perfetto.dev)."""
    with profile() as profiler:
        timed_steps(engine, steps)
    profiler.export_chrome_trace(str(file))
