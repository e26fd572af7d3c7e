"""One process of a scaling benchmark: `python -m d3gan.study.worker JOB.json`.

JOB.json says what to time; the main process writes what it came to into its "result" file.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from d3gan.config import Config, from_dict
from d3gan.data.store import load_images
from d3gan.study.usage import Utilisation, peak_memory_bytes
from d3gan.training import distributed
from d3gan.training.distributed import Mesh
from d3gan.training.state import make_state
from d3gan.training.stepper import Stepper


def main(job_file: str) -> None:
    """Time the job's config by the processes that were launched for it."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    config = from_dict(job["config"])
    result = timed(config, job["steps"], job["warm_up"], job["blocks"], job["backend"])
    if result is not None:
        Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")


def timed(
    config: Config, steps: int, warm_up: int, blocks: int, backend: str
) -> dict[str, Any] | None:
    """Seconds per step, with and without the exchange between processes, and what they use.

    `blocks` blocks of `steps` steps each, those with and without taking turns, after `warm_up`
    steps that are timed apart. The main process gets the result; memory is before the twin that
    exchanges nothing is made.
    """
    began = time.perf_counter()
    timeout = config.train.timeout_seconds
    with distributed.process_group(config.train.device, timeout, backend) as device:
        mesh = distributed.make_mesh(config.train.mesh, config.gan.discriminators, timeout)
        images = load_images(config.data).images
        stepper = Stepper(config, make_state(config, device, mesh), images, device)
        warm_up_seconds = _timed_steps(stepper, warm_up)
        joined_seconds = time.perf_counter() - began - warm_up_seconds
        usage = Utilisation(device)
        with usage:
            _timed_steps(stepper, steps)
        memory = peak_memory_bytes(device)
        twin = None
        if distributed.world_size() > 1:
            silent = Silent(mesh.data, mesh.discriminator, mesh.discriminators)
            twin = Stepper(config, make_state(config, device, silent), images, device)
            _timed_steps(twin, warm_up)
        seconds, alone = [], []
        for _ in range(blocks):
            seconds.append(_timed_steps(stepper, steps) / steps)
            if twin:
                alone.append(_timed_steps(twin, steps) / steps)
        mine = {
            "seconds": seconds,
            "alone": alone or seconds,
            "start_seconds": joined_seconds,
            "warm_up_seconds": warm_up_seconds,
            "utilisation": usage.share,
            "peak_memory_bytes": memory,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "images": len(images),
        }
        everyone = distributed.gathered(mine)
    return _summed_up(everyone) if everyone else None


def _summed_up(everyone: list[dict[str, Any]]) -> dict[str, Any]:
    """Of all processes: the slowest for a step, the mean of what each does alone."""
    shares = [each["utilisation"] for each in everyone]
    memory = [each["peak_memory_bytes"] for each in everyone]
    return everyone[0] | {
        "seconds": [max(block) for block in zip(*(e["seconds"] for e in everyone), strict=True)],
        "alone": [fmean(block) for block in zip(*(e["alone"] for e in everyone), strict=True)],
        "utilisation": None if None in shares else fmean(shares),
        "peak_memory_bytes": None if None in memory else max(memory),
    }


class Silent(Mesh):
    """The same share of the work, of which a process tells nobody."""

    def generator(self, network: nn.Module) -> Callable[[Tensor], Tensor]:
        return network

    def ensemble(self, network: nn.Module) -> nn.Module:
        return network

    def mean_over_ranks(self, x: Tensor) -> Tensor:
        return x

    def of_all(self, x: Tensor) -> Tensor:
        members = self.members()
        return functional.pad(x, (0, 0, members.start, self.discriminators - members.stop))


def _timed_steps(stepper: Stepper, steps: int) -> float:
    """Seconds that so many steps take, from a moment at which all processes are ready."""
    _wait(stepper.device)
    distributed.barrier()
    start = time.perf_counter()
    for _ in range(steps):
        stepper.step()
    _wait(stepper.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main(*sys.argv[1:])
