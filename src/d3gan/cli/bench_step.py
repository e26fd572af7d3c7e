"""d3gan bench step."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.table import Table

from d3gan import config as configs
from d3gan.bench.step import measure, write_trace
from d3gan.bench.timing import make_trainer
from d3gan.cli.bench import Row, Timing, cell, gigabytes, load_enough_images
from d3gan.cli.printing import make_table, print_progress
from d3gan.config import Config
from d3gan.config_files import starting_point
from d3gan.errors import UserError
from d3gan.report.plots import step_plot
from d3gan.training import distributed


@dataclass(frozen=True)
class Step(Timing):
    """Measure how long a training step takes on one device, compared with a plain loop."""

    preset: str = "cifar10-d3gan"
    """What to train: a preset, a .toml file or a run."""
    engines: tuple[Literal["d3gan", "baseline"], ...] = ("d3gan", "baseline")
    """baseline: a loop with a DataLoader, one discriminator after another."""
    discriminators: tuple[int, ...] = (1, 2)
    """Numbers of discriminators."""
    batch_sizes: tuple[int, ...] = (64,)
    """Images per step."""
    precisions: tuple[Literal["fp32", "tf32", "bf16", "fp64"], ...] = ("fp32",)
    """The baseline computes in fp32 where bf16 is requested."""
    plot: str = ""
    """Draw throughput against batch size into this file."""
    profile: str = ""
    """Write a Chrome trace of the first engine's steps in the last case to this file."""

    def run(self) -> None:
        """Measure, print and write."""
        self.check()
        for name in ("engines", "discriminators", "batch_sizes", "precisions"):
            if not getattr(self, name):
                raise UserError(f"{name}: name at least one")
        start, _ = starting_point(self.preset)
        cases = self._cases(start)
        rows: list[Row] = []
        with distributed.process_group(self.device) as device:
            images = load_enough_images(start.data, max(self.batch_sizes), "batch_sizes")
            for number, config in enumerate(cases):
                print_progress(
                    f"{number + 1} of {len(cases)}: N = {config.gan.discriminators}, batch "
                    f"{config.train.batch_size}, {config.train.precision}"
                )
                rows += measure(
                    config,
                    self.engines,
                    images,
                    device,
                    steps=self.steps,
                    warm_up=self.warm_up,
                    rounds=self.rounds,
                )
            if self.profile:
                trainer = make_trainer(self.engines[0], cases[-1], images, device)
                write_trace(trainer, self.steps, Path(self.profile))
        self.finish(rows, step_table)
        if self.plot:
            step_plot(rows, Path(self.plot))

    def _cases(self, start: Config) -> list[Config]:
        return [
            configs.validate(
                configs.from_dict(
                    {
                        "gan": {"discriminators": count},
                        "train": {"batch_size": size, "precision": precision, "mesh": ""},
                    },
                    start,
                )
            )
            for precision in self.precisions
            for count in self.discriminators
            for size in self.batch_sizes
        ]


def step_table(rows: list[Row]) -> Table:
    """Return a table of at most 80 columns with one line for each case and engine."""
    table = make_table(
        *("engine", "N", "batch", "type", "images/s", "ms/step"),
        *("times baseline", "of matmul", "GB"),
    )
    for row in rows:
        table.add_row(
            row["engine"],
            str(row["discriminators"]),
            str(row["batch_size"]),
            row["precision"],
            f"{row['images_per_second']:,.0f}",
            f"{row['ms_per_step']:,.1f}",
            cell(row, "ratio_to_baseline"),
            f"{row['flops_per_second'] / row['matmul_flops_per_second']:.0%}",
            gigabytes(row),
        )
    return table
