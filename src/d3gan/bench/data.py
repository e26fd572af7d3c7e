"""How fast images come to training, and how long its steps wait for them."""

import time
from collections.abc import Callable
from typing import Any

import torch

from d3gan.bench.step import Trainer, make_trainer, timed_parts, timed_steps
from d3gan.config import Config, from_dict, validate
from d3gan.images import Images
from d3gan.study.statistics import spread
from d3gan.training.usage import synchronise

FEEDS: dict[str, dict[str, Any]] = {
    "resident": {"data": {"resident": "always"}},
    "streamed": {"data": {"resident": "never"}},
    "dataloader": {},
}
"""Where images come from: the device's memory, the disk by a thread, a DataLoader that decodes."""


def measure(
    config: Config, images: Images, device: torch.device, *, steps: int, warm_up: int, rounds: int
) -> list[dict[str, Any]]:
    """A row of results for each way; they take turns, `rounds` times, block by block of `steps`.

    Each is timed twice: batches asked for and thrown away, and steps of training by its engine, of
    which the share spent waiting for images is taken. The ratios to resident are of step times in
    the same round.
    """
    made: dict[str, Trainer] = {}
    plain: dict[str, Trainer] = {}
    loading: dict[str, Callable[[], None]] = {}
    for name, changes in FEEDS.items():
        whole = validate(from_dict(changes, config))
        kind = "baseline" if name == "dataloader" else "d3gan"
        made[name] = make_trainer(kind, whole, images, device)
        loading[name] = _loader(make_trainer(kind, whole, images, device))
        plain[name] = make_trainer(kind, whole, images, device, graph=False)
        timed_steps(made[name], warm_up)
        timed_steps(plain[name], warm_up)
        for _ in range(warm_up):
            loading[name]()
    alone: dict[str, list[float]] = {name: [] for name in FEEDS}
    whole_step: dict[str, list[float]] = {name: [] for name in FEEDS}
    waiting: dict[str, list[float]] = {name: [] for name in FEEDS}
    for _ in range(rounds):
        for name, engine in made.items():
            start = time.perf_counter()
            for _ in range(steps):
                loading[name]()
            synchronise(device)
            alone[name].append((time.perf_counter() - start) / steps)
            whole_step[name].append(timed_steps(engine, steps) / steps)
            waiting[name].append(timed_parts(plain[name], steps)["data"] / 1000)
    images_per_step = config.images_per_step
    rows = []
    for name in FEEDS:
        shares = [w / s for w, s in zip(waiting[name], whole_step[name], strict=True)]
        ratios = [s / r for s, r in zip(whole_step[name], whole_step["resident"], strict=True)]
        rows.append(
            {
                "feed": name,
                "engine": "baseline" if name == "dataloader" else "d3gan",
                "discriminators": config.gan.discriminators,
                "batch_size": config.train.batch_size,
                **spread("images_per_second_alone", [images_per_step / s for s in alone[name]]),
                **spread("ms_per_step", [1000 * s for s in whole_step[name]]),
                **spread("waiting_ms", [1000 * s for s in waiting[name]]),
                **spread("waiting_share", shares),
                **spread("step_ratio_to_resident", ratios),
                "rounds": rounds,
            }
        )
    return rows


def _loader(engine: Trainer) -> Callable[[], None]:
    """Return a function that requests the images of the next step."""

    def load() -> None:
        for batch in engine.batches():
            engine.real_images(batch)
        engine.state.step += 1

    return load
