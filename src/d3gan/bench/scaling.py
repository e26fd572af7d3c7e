"""Throughput against the number of processes: strong and weak scaling."""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from d3gan.bench.timing import spread
from d3gan.config import Config, to_dict
from d3gan.errors import UserError
from d3gan.training import launching
from d3gan.training.distributed import mesh_shape

Scaling = Literal["weak", "strong"]


@dataclass(frozen=True)
class Case:
    """One point of the plots: a preset on a number of processes."""

    preset: str
    config: Config
    scaling: Scaling
    """weak: the batch of each process stays the same; strong: the global batch stays the same."""
    processes: int
    mesh: str
    backend: str
    """Empty for one process, which needs none."""

    def of_one(self) -> Config:
        """Return the configuration of the single process that efficiency is relative to."""
        batch = self.config.train.batch_size
        return _with(self.config, batch // self.processes if self.scaling == "weak" else batch, "")

    def job(self) -> "Case":
        """Return the case to run; for one process it is the same with both kinds of scaling."""
        return dataclasses.replace(self, scaling="weak") if self.processes == 1 else self


def plan(
    presets: dict[str, Config],
    *,
    scalings: Sequence[Scaling],
    processes: Sequence[int],
    meshes: Sequence[str],
    backends: Sequence[str],
    batch_size: int,
) -> list[Case]:
    """Return all cases: each without a mesh, and with each of `meshes` that fits.

    `batch_size` is that of each process with weak scaling and the global one with strong scaling.
    """
    cases = []
    for name, config in presets.items():
        for scaling in scalings:
            for count in processes:
                batch = batch_size * (count if scaling == "weak" else 1)
                for mesh in ("", *(m for m in meshes if _fits(m, count, config))):
                    cases += [
                        Case(name, _with(config, batch, mesh), scaling, count, mesh, backend)
                        for backend in (backends if count > 1 else [""])
                    ]
    return cases


def _with(config: Config, batch_size: int, mesh: str) -> Config:
    train = dataclasses.replace(config.train, batch_size=batch_size, mesh=mesh)
    return dataclasses.replace(config, train=train)


def _fits(mesh: str, processes: int, config: Config) -> bool:
    rows, columns = mesh_shape(mesh, processes)
    return rows * columns == processes and columns <= config.gan.discriminators


def measure(
    cases: Sequence[Case],
    *,
    rounds: int,
    steps: int,
    warm_up: int,
    threads: int | None,
    report: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Return a row of results for every case; every round measures each case once.

    Efficiency is throughput over `processes` times that of one process alone, which the same
    processes measure alternately. Numbers are medians over rounds; `..._low` and `..._high` are
    the smallest and the largest. Raises UserError if a process fails.
    """
    jobs = {case: case.job() for case in cases}
    found: dict[Case, list[dict[str, Any]]] = {job: [] for job in jobs.values()}
    for number in range(rounds):
        for job in found:
            mesh = f", {job.mesh}" if job.mesh else ""
            report(
                f"round {number + 1} of {rounds}: {job.preset}, "
                f"{job.config.train.batch_size} images a step, "
                f"{job.processes} processes{job.backend and ' with '}{job.backend}{mesh}"
            )
            found[job].append(_launched(job, steps, warm_up, threads))
    return [_row(case, found[job], threads) for case, job in jobs.items()]


def _launched(case: Case, steps: int, warm_up: int, threads: int | None) -> dict[str, Any]:
    """Return what bench.worker measures in new processes."""
    with tempfile.TemporaryDirectory() as folder:
        job, result = Path(folder) / "job.json", Path(folder) / "result.json"
        content = {
            "config": to_dict(case.config),
            "one": to_dict(case.of_one()),
            "steps": steps,
            "warm_up": warm_up,
            "blocks": 3,
            "backend": case.backend,
            "result": str(result),
        }
        job.write_text(json.dumps(content), encoding="utf-8")
        status = launching.launch(
            case.processes, [str(job)], module="d3gan.bench.worker", threads=threads
        )
        if status or not result.exists():
            raise UserError(
                f"the benchmark of {case.preset} on {case.processes} processes ended with status "
                f"{status}; its error is above"
            )
        measured: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return measured


def _row(case: Case, results: Sequence[dict[str, Any]], threads: int | None) -> dict[str, Any]:
    batch, batch_of_one = case.config.train.batch_size, case.of_one().train.batch_size
    seconds = [median(result["together"]) for result in results]
    rates = [batch / s for s in seconds]
    last = results[-1]

    def ratio(result: dict[str, Any], kind: str) -> float:
        """Return the median ratio of the seconds of this kind to those together, by block."""
        pairs = zip(result[kind], result["together"], strict=True)
        return float(median(one / other for one, other in pairs))

    work = batch / batch_of_one / case.processes
    efficiency = [work * ratio(result, "alone") for result in results]
    exposed = [1 - ratio(result, "silent") for result in results]
    return {
        "preset": case.preset,
        "discriminators": case.config.gan.discriminators,
        "scaling": case.scaling,
        "processes": case.processes,
        "threads_per_process": threads,
        "backend": case.backend or None,
        "mesh": case.mesh,
        "precision": case.config.train.precision,
        "batch_size": batch,
        **spread("images_per_second", rates),
        **spread("ms_per_step", [1000 * s for s in seconds]),
        "epoch_seconds": last["images"] / median(rates),
        **spread("efficiency", efficiency),
        **spread("exposed_communication_share", exposed),
        "start_seconds": median(result["start_seconds"] for result in results),
        "warm_up_seconds": median(result["warm_up_seconds"] for result in results),
        "utilisation": _median([result["utilisation"] for result in results]),
        "peak_memory_bytes": _median([result["peak_memory_bytes"] for result in results]),
        "rounds": len(results),
    }


def _median(values: list[Any]) -> Any:
    return None if None in values else median(values)
