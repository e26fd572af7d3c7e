"""d3gan bench scaling."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.table import Table

from d3gan.bench import scaling
from d3gan.cli.bench_options import Timing, images_for
from d3gan.cli.printing import tell
from d3gan.config import Config, from_dict
from d3gan.config_files import starting_point
from d3gan.errors import UserError
from d3gan.report.plots import scaling_plots


@dataclass(frozen=True)
class Scaling(Timing):
    """Measure how throughput grows with the number of processes on this machine."""

    presets: tuple[str, ...] = ("cifar10-dcgan", "cifar10-d3gan")
    """Presets, .toml files or runs: what is trained."""
    processes: tuple[int, ...] = ()
    """Numbers of processes; if not given, 1, 2, 4 ... up to the CUDA devices, or to the CPUs."""
    scalings: tuple[Literal["weak", "strong"], ...] = ("weak", "strong")
    """weak: a batch for every process; strong: one batch for all together."""
    batch_size: int = 64
    """Images a step: of every process with weak scaling, of all with strong."""
    meshes: tuple[str, ...] = ()
    """Values of train.mesh to try as well, where they fit: discriminator=2."""
    backends: tuple[Literal["gloo", "nccl"], ...] = ()
    """If not given: nccl and gloo on CUDA devices, gloo on CPUs."""
    threads: int = 1
    """Threads of every process, on CPUs."""
    steps: int = 4
    """Steps in a block; each process count times three blocks in a round."""
    warm_up: int = 3
    """Steps before, timed apart: connections and caches are made in them."""
    rounds: int = 5
    """How often everything is measured, in turn; medians and extremes are told."""
    plots: str = ""
    """Draw throughput, epoch time, utilisation and memory into this folder."""

    def run(self) -> None:
        """Measure, print and write."""
        self.check("batch_size", "threads")
        for mesh in self.meshes:
            from_dict({"train": {"mesh": mesh or "''"}})
        cuda = self.device != "cpu" and torch.cuda.is_available()
        if self.device == "cuda" and not cuda:
            raise UserError("device = 'cuda': there is no CUDA device here; use auto or cpu")
        found = [self._config(word) for word in self.presets]
        configs = {config.name: config for config in found}
        if len(configs) < len(found):
            names = ", ".join(config.name for config in found)
            raise UserError(f"presets: two have one name: {names}; give one another, as name = ...")
        cases = scaling.plan(
            configs,
            scalings=self.scalings,
            processes=self._processes(cuda),
            meshes=self.meshes,
            backends=self.backends or (("nccl", "gloo") if cuda else ("gloo",)),
            batch_size=self.batch_size,
        )
        self._prepare(configs)
        rows = scaling.measure(
            cases,
            rounds=self.rounds,
            steps=self.steps,
            warm_up=self.warm_up,
            threads=self.threads,
            tell=tell,
        )
        self.finish(rows, scaling_table)
        if self.plots:
            for file in scaling_plots(rows, Path(self.plots)):
                print(file, file=sys.stderr)

    def _processes(self, cuda: bool) -> tuple[int, ...]:
        most = torch.cuda.device_count() if cuda else torch.multiprocessing.cpu_count()
        for count in self.processes:
            if count < 1 or (cuda and count > most):
                raise UserError(
                    f"processes = {count}: must be at least 1"
                    + (f" and at most {most}, the CUDA devices here" if cuda else "")
                )
        return self.processes or tuple(2**k for k in range(most.bit_length()))

    def _config(self, word: str) -> Config:
        config, _ = starting_point(word)
        changes: dict[str, Any] = {"train": {"device": self.device}}
        return from_dict(changes, config)

    def _prepare(self, configs: dict[str, Config]) -> None:
        """Decode the images once, before anything is timed, and see that there are enough."""
        for config in configs.values():
            images_for(config.data, self.batch_size, "batch_size")


def scaling_table(rows: list[dict[str, Any]]) -> Table:
    """One line per case; fits into 80 columns."""
    table = Table("preset", box=None, pad_edge=False, collapse_padding=True)
    headings = ("scaling", "mesh", "P", "images/s", "ms/step", "efficiency", "exposed", "GB")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        memory = row["peak_memory_bytes"]
        table.add_row(
            row["preset"],
            row["scaling"],
            row["mesh"].replace("discriminator", "D").replace("data", "B") or "-",
            str(row["processes"]) + (f" {row['backend']}" if row["backend"] == "nccl" else ""),
            f"{row['images_per_second']:,.0f}",
            f"{row['ms_per_step']:,.0f}",
            f"{row['efficiency']:.2f} ({row['efficiency_low']:.2f}-{row['efficiency_high']:.2f})",
            f"{row['exposed_communication_share']:.1%}",
            "-" if memory is None else f"{memory / 1e9:.2f}",
        )
    return table
