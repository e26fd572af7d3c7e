"""One process of a scaling benchmark: `python -m d3gan.bench.worker JOB.json`.

JOB.json describes what to time; the main process writes the result to the file that it names.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from d3gan.bench.timing import Trainer, make_trainer, timed_steps
from d3gan.config import Config, from_dict
from d3gan.data.cache import load_images
from d3gan.devices import synchronise
from d3gan.training import distributed
from d3gan.training.distributed import DiscriminatorParallel
from d3gan.training.process import prepare_process
from d3gan.training.usage import Utilisation, peak_memory_bytes

T = TypeVar("T")


def main(job_file: str) -> None:
    """Time the job's configuration with the processes that were launched for it."""
    prepare_process()
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    result = timed(job, from_dict(job["config"]), from_dict(job["one"]))
    if result is not None:
        Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")


def timed(job: Mapping[str, Any], config: Config, one: Config) -> dict[str, Any] | None:
    """Return, on the main process, seconds per step of three kinds and the use of the machine.

    "together": training by `config`; "silent": the same work without communication; "alone": one
    process trains by `one` while the others wait. After `warm_up` steps, which are timed
    separately, `blocks` blocks of `steps` steps of each kind alternate, so that other load on the
    machine affects all alike. Memory and utilisation are those of "together".
    """
    began = time.perf_counter()
    timeout = config.train.timeout_seconds
    with distributed.process_group(config.train.device, timeout, job["backend"]) as device:
        parallel = distributed.make_discriminator_parallel(config.train, config.gan.discriminators)
        data = load_images(config.data)
        trainers: dict[str, Trainer | None] = {
            "together": make_trainer("d3gan", config, data, device, parallel)
        }
        start_seconds = time.perf_counter() - began
        warm_up_seconds = _warmed_up(trainers["together"], job["warm_up"], device)
        with Utilisation(device) as usage:
            _timed_steps(trainers["together"], job["steps"], device)
        memory = peak_memory_bytes(device)
        if distributed.world_size() > 1:
            shape = (parallel.data, parallel.discriminator, parallel.discriminators)
            alone = Silent(1, 1, parallel.discriminators)
            trainers["silent"] = make_trainer("d3gan", config, data, device, Silent(*shape))
            trainers["alone"] = (
                make_trainer("d3gan", one, data, device, alone) if distributed.is_main() else None
            )
        for kind in ("silent", "alone"):
            _warmed_up(trainers.get(kind), job["warm_up"], device)
        seconds: dict[str, list[float]] = {kind: [] for kind in trainers}
        for _ in range(job["blocks"]):
            for kind, trainer in trainers.items():
                seconds[kind].append(_timed_steps(trainer, job["steps"], device) / job["steps"])
        own = {
            **seconds,
            "start_seconds": start_seconds,
            "warm_up_seconds": warm_up_seconds,
            "utilisation": usage.share,
            "peak_memory_bytes": memory,
            "images": len(data.images),
        }
        of_all = distributed.gathered(own)
    return _combined(of_all) if of_all else None


def _combined(of_all: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the slowest process's times together, the mean silent and the main one's alone."""
    main = of_all[0]
    together = [max(block) for block in zip(*(e["together"] for e in of_all), strict=True)]
    silent = [fmean(b) for b in zip(*(e.get("silent", together) for e in of_all), strict=True)]
    shares = [each["utilisation"] for each in of_all]
    memory = [each["peak_memory_bytes"] for each in of_all]
    return main | {
        "together": together,
        "silent": silent,
        "alone": main.get("alone", together),
        "utilisation": None if None in shares else fmean(shares),
        "peak_memory_bytes": None if None in memory else max(memory),
    }


class Silent(DiscriminatorParallel):
    """The same share of the work without communication between ranks."""

    def generator(self, network: nn.Module, *, reduce_gradients: bool = True) -> nn.Module:
        return network

    def ensemble(self, network: nn.Module) -> nn.Module:
        return network

    def from_main(self, work: Callable[[], T]) -> T:
        return work()

    def mean_over_ranks(self, x: Tensor) -> Tensor:
        return x

    def first_reason(self, reason: str) -> str:
        return reason

    def all_gather_discriminators(self, x: Tensor) -> Tensor:
        members = self.members()
        return functional.pad(x, (0, 0, members.start, self.discriminators - members.stop))


def _warmed_up(trainer: Trainer | None, steps: int, device: torch.device) -> float:
    """Return the seconds of so many steps, or of more until the step is recorded as a graph."""
    return _timed_steps(trainer, max(steps, trainer.warm_up_steps) if trainer else 0, device)


def _timed_steps(trainer: Trainer | None, steps: int, device: torch.device) -> float:
    """Return the seconds of so many steps from a barrier on; 0 without a trainer."""
    synchronise(device)
    distributed.barrier()
    return timed_steps(trainer, steps) if trainer else 0.0


if __name__ == "__main__":
    main(*sys.argv[1:])
