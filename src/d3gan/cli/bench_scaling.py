"""d3gan bench scaling."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from rich.table import Table

from d3gan.bench import scaling
from d3gan.bench.limits import limits_line
from d3gan.cli.bench import Row, Timing, cell, gigabytes, load_enough_images
from d3gan.cli.printing import make_table, print_progress
from d3gan.config import from_dict
from d3gan.config_files import starting_point
from d3gan.errors import UserError
from d3gan.machine import usable_cpus
from d3gan.report.plots import scaling_plots


@dataclass(frozen=True)
class Scaling(Timing):
    """Measure how throughput grows with the number of processes on this machine."""

    presets: tuple[str, ...] = ("cifar10-dcgan", "cifar10-d3gan")
    """What to train: presets, .toml files or runs."""
    processes: tuple[int, ...] = ()
    """Numbers of processes; default: 1, 2, 4 ... up to the number of CUDA devices, or of CPUs."""
    scalings: tuple[Literal["weak", "strong"], ...] = ("weak", "strong")
    """weak: one batch for each process; strong: one batch for all processes."""
    batch_size: int = 64
    """Images per step: of each process with weak scaling, of all with strong scaling."""
    meshes: tuple[str, ...] = ()
    """Values of train.mesh to measure in addition, where they fit: discriminator=2."""
    backends: tuple[Literal["gloo", "nccl"], ...] = ()
    """Communication libraries; by default nccl and gloo on CUDA devices, and gloo on CPUs."""
    threads: int = 1
    """Threads of each process, on CPUs."""
    steps: int = 4
    """Steps in a block; each round measures three blocks of each number of processes."""
    warm_up: int = 3
    """Steps before the first block, timed separately; they make connections and caches."""
    rounds: int = 5
    """Repetitions of the complete measurement; results are medians, with the smallest and the
    largest value."""
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
        found = [
            from_dict({"train": {"device": self.device}}, starting_point(word)[0])
            for word in self.presets
        ]
        configs = {config.name: config for config in found}
        if len(configs) < len(found):
            names = ", ".join(config.name for config in found)
            raise UserError(
                f"presets: two have the same name ({names}); give one of them another name in its "
                ".toml file"
            )
        cases = scaling.plan(
            configs,
            scalings=self.scalings,
            processes=self._processes(cuda),
            meshes=self.meshes,
            backends=self.backends or (("nccl", "gloo") if cuda else ("gloo",)),
            batch_size=self.batch_size,
        )
        for config in found:
            load_enough_images(config.data, self.batch_size, "batch_size")
        print_progress(limits_line(torch.device("cuda" if cuda else "cpu")))
        rows = scaling.measure(
            cases,
            rounds=self.rounds,
            steps=self.steps,
            warm_up=self.warm_up,
            threads=self.threads,
            report=print_progress,
        )
        self.finish(rows, scaling_table)
        if self.plots:
            for file in scaling_plots(rows, Path(self.plots)):
                print_progress(str(file))

    def _processes(self, cuda: bool) -> tuple[int, ...]:
        most = torch.cuda.device_count() if cuda else usable_cpus()
        for count in self.processes:
            if count < 1 or (cuda and count > most):
                raise UserError(
                    f"processes = {count}: must be at least 1"
                    + (f" and at most {most}, the number of CUDA devices" if cuda else "")
                )
        return self.processes or tuple(2**k for k in range(most.bit_length()))


def scaling_table(rows: list[Row]) -> Table:
    """Return a table of at most 80 columns with one line for each case."""
    table = make_table(
        *("preset", "scaling", "mesh", "P", "images/s", "ms/step", "efficiency", "exposed", "GB"),
        pad_edge=False,
        collapse_padding=True,
    )
    for row in rows:
        table.add_row(
            row["preset"],
            row["scaling"],
            row["mesh"].replace("discriminator", "D").replace("data", "B") or "-",
            str(row["processes"]) + (f" {row['backend']}" if row["backend"] == "nccl" else ""),
            f"{row['images_per_second']:,.0f}",
            f"{row['ms_per_step']:,.0f}",
            cell(row, "efficiency"),
            f"{row['exposed_communication_share']:.1%}",
            gigabytes(row),
        )
    return table
