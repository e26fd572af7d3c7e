"""Speed at which images reach the training loop, and the time for which steps wait for them."""

from collections.abc import Callable
from typing import Any

import torch

from d3gan.bench.step import timed_parts
from d3gan.bench.timing import (
    Trainer,
    make_trainer,
    spread,
    timed,
    timed_steps,
    warmed_up,
)
from d3gan.config import Config, from_dict, validate
from d3gan.data.cache import ImageSet

FEEDS: dict[str, tuple[str, dict[str, Any]]] = {
    "resident": ("d3gan", {"data": {"resident": "always"}}),
    "streamed": ("d3gan", {"data": {"resident": "never"}}),
    "dataloader": ("baseline", {}),
}
"""Source of the images (device memory, a thread that reads the disk, a DataLoader that decodes):
the engine that uses it and the change of the configuration."""


def measure(
    config: Config, data: ImageSet, device: torch.device, *, steps: int, warm_up: int, rounds: int
) -> list[dict[str, Any]]:
    """Return a row of results for each feed; blocks of `steps` steps alternate for `rounds` rounds.

    Each feed is timed twice: requesting batches without training, and training, with the share of
    its time that is spent waiting for images. Ratios to resident compare steps of the same round.
    """
    trainers: dict[str, Trainer] = {}
    without_graph: dict[str, Trainer] = {}
    load: dict[str, Callable[[], None]] = {}
    for name, (engine, changes) in FEEDS.items():
        changed = validate(from_dict(changes, config))
        trainers[name] = make_trainer(engine, changed, data, device)
        without_graph[name] = make_trainer(engine, changed, data, device, graph=False)
        load[name] = _load(make_trainer(engine, changed, data, device))
        warmed_up(trainers[name], warm_up)
        warmed_up(without_graph[name], warm_up)
        for _ in range(warm_up):
            load[name]()
    alone: dict[str, list[float]] = {name: [] for name in FEEDS}
    step: dict[str, list[float]] = {name: [] for name in FEEDS}
    waiting: dict[str, list[float]] = {name: [] for name in FEEDS}
    for _ in range(rounds):
        for name, trainer in trainers.items():
            alone[name].append(timed(load[name], steps, device) / steps)
            step[name].append(timed_steps(trainer, steps) / steps)
            waiting[name].append(timed_parts(without_graph[name], steps)["data"] / 1000)
    rows = []
    for name, (engine, _) in FEEDS.items():
        shares = [w / s for w, s in zip(waiting[name], step[name], strict=True)]
        ratios = [s / r for s, r in zip(step[name], step["resident"], strict=True)]
        rates = [config.images_per_step / s for s in alone[name]]
        rows.append(
            {
                "feed": name,
                "engine": engine,
                "discriminators": config.gan.discriminators,
                "batch_size": config.train.batch_size,
                **spread("images_per_second_alone", rates),
                **spread("ms_per_step", [1000 * s for s in step[name]]),
                **spread("waiting_ms", [1000 * s for s in waiting[name]]),
                **spread("waiting_share", shares),
                **spread("step_ratio_to_resident", ratios),
                "rounds": rounds,
            }
        )
    return rows


def _load(trainer: Trainer) -> Callable[[], None]:
    """Return a function that requests the images of the next step."""

    def load() -> None:
        for batch in trainer.batches():
            trainer.real_images(batch)
        trainer.state.step += 1

    return load
