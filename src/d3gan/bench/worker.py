"""One process of a scaling benchmark: `python -m d3gan.bench.worker JOB.json`.

JOB.json says what to time; the main process writes what it came to into its "result" file.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from d3gan.bench.step import timed_steps
from d3gan.config import Config, from_dict
from d3gan.data.cache import load_images
from d3gan.training import distributed
from d3gan.training.distributed import DiscriminatorParallel
from d3gan.training.engine import Engine
from d3gan.training.state import make_state
from d3gan.training.usage import Utilisation, peak_memory_bytes, synchronise


def main(job_file: str) -> None:
    """Time the job's config by the processes that were launched for it."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    result = timed(job, from_dict(job["config"]), from_dict(job["one"]))
    if result is not None:
        Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")


def timed(job: Mapping[str, Any], config: Config, one: Config) -> dict[str, Any] | None:
    """Seconds per step of three kinds, and what the processes use; on the main process.

    "together": training by `config`; "silent": the same work without exchange between processes;
    "alone": one process trains by `one`, and the others wait. After `warm_up` steps, which are
    timed apart, come `blocks` blocks of `steps` steps of each kind, which take turns: what else
    the machine does meets all alike. Memory and utilisation are those of "together".
    """
    began = time.perf_counter()
    timeout = config.train.timeout_seconds
    with distributed.process_group(config.train.device, timeout, job["backend"]) as device:
        mesh = distributed.make_discriminator_parallel(config.train, config.gan.discriminators)
        images = load_images(config.data).images

        def engine(config: Config, mesh: DiscriminatorParallel) -> Engine:
            return Engine(config, make_state(config, device, mesh), images, device)

        kinds: dict[str, Engine | None] = {"together": engine(config, mesh)}
        start_seconds = time.perf_counter() - began
        warm_up_seconds = _timed_steps(kinds["together"], job["warm_up"], device)
        with Utilisation(device) as usage:
            _timed_steps(kinds["together"], job["steps"], device)
        memory = peak_memory_bytes(device)
        if distributed.world_size() > 1:
            kinds["silent"] = engine(
                config, Silent(mesh.data, mesh.discriminator, mesh.discriminators)
            )
            here = distributed.is_main()
            kinds["alone"] = engine(one, Silent(1, 1, mesh.discriminators)) if here else None
        for kind in ("silent", "alone"):
            _timed_steps(kinds.get(kind), job["warm_up"], device)
        seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(job["blocks"]):
            for kind, one_of_them in kinds.items():
                seconds[kind].append(_timed_steps(one_of_them, job["steps"], device) / job["steps"])
        mine = {
            **seconds,
            "start_seconds": start_seconds,
            "warm_up_seconds": warm_up_seconds,
            "utilisation": usage.share,
            "peak_memory_bytes": memory,
            "images": len(images),
        }
        everyone = distributed.gathered(mine)
    return _summed_up(everyone) if everyone else None


def _summed_up(everyone: list[dict[str, Any]]) -> dict[str, Any]:
    """Of all processes: the slowest together, the mean of the silent, the main one alone."""
    main = everyone[0]
    together = [max(block) for block in zip(*(e["together"] for e in everyone), strict=True)]
    silent = [fmean(b) for b in zip(*(e.get("silent", together) for e in everyone), strict=True)]
    shares = [each["utilisation"] for each in everyone]
    memory = [each["peak_memory_bytes"] for each in everyone]
    return main | {
        "together": together,
        "silent": silent,
        "alone": main.get("alone", together),
        "utilisation": None if None in shares else fmean(shares),
        "peak_memory_bytes": None if None in memory else max(memory),
    }


class Silent(DiscriminatorParallel):
    """The same share of the work, of which a process tells nobody."""

    def generator(self, network: nn.Module) -> Callable[[Tensor], Tensor]:
        return network

    def ensemble(self, network: nn.Module) -> nn.Module:
        return network

    def mean_over_ranks(self, x: Tensor) -> Tensor:
        return x

    def all_gather_discriminators(self, x: Tensor) -> Tensor:
        members = self.members()
        return functional.pad(x, (0, 0, members.start, self.discriminators - members.stop))


def _timed_steps(engine: Engine | None, steps: int, device: torch.device) -> float:
    """Seconds that so many steps take, from a moment at which all processes are ready; 0 without
    an engine."""
    synchronise(device)
    distributed.barrier()
    return timed_steps(engine, steps) if engine else 0.0


if __name__ == "__main__":
    main(*sys.argv[1:])
