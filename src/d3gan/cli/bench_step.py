"""d3gan bench step."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.table import Table

from d3gan import config as configs
from d3gan.bench.limits import limits_line
from d3gan.bench.step import measure, write_trace
from d3gan.bench.timing import make_trainer
from d3gan.cli.bench import Row, Timing, cell, gigabytes, load_enough_images
from d3gan.cli.printing import make_table, print_progress
from d3gan.config import Config
from d3gan.config_files import starting_point
from d3gan.errors import UserError
from d3gan.report.plots import step_plot
from d3gan.training import distributed

LEGEND = """\
N: number of discriminators; px: side of the images in pixels; type: precision
plain: milliseconds per step of an ordinary training loop
speed-up: plain / d3gan, with the smallest and the largest value
matmul: speed as a share of that of a large matrix product; GB: peak memory"""
"""What the columns of the table mean."""


@dataclass(frozen=True)
class Step(Timing):
    """Measure how long a training step takes on one device, compared with a plain loop.

    Both train the same networks in one process, block by block in turn. The plain loop has a
    DataLoader and trains one discriminator after another; it computes in fp32 where bf16 is
    requested.
    """

    preset: str = "cifar10-d3gan"
    """What to train: a preset, a .toml file or a run."""
    discriminators: tuple[int, ...] = (1, 2)
    """Numbers of discriminators."""
    batch_sizes: tuple[int, ...] = (64,)
    """Images per step."""
    widths: tuple[int, ...] = ()
    """Widths of both networks; by default those of the preset."""
    resolutions: tuple[int, ...] = ()
    """Sides of the images in pixels; by default that of the preset."""
    precisions: tuple[Literal["auto", "fp32", "tf32", "bf16", "fp64"], ...] = ("fp32",)
    """Number formats of d3gan's computation."""
    images: int = 4096
    """Largest number of images to train on."""
    steps: int = 0
    """Steps in a block; 0: as many as take half a second."""
    rounds: int = 7
    """Number of timed blocks of each loop, in turn; results are medians, with the smallest and the
    largest value."""
    plot: str = ""
    """Draw throughput against batch size into this file."""
    profile: str = ""
    """Write a Chrome trace of d3gan's steps in the last case to this file."""

    def run(self) -> None:
        """Measure, print and write."""
        self.check("images", without=("steps",))
        for name in ("discriminators", "batch_sizes", "precisions"):
            if not getattr(self, name):
                raise UserError(f"{name}: name at least one")
        start, _ = starting_point(self.preset)
        cases = self._cases(start)
        rows: list[Row] = []
        with distributed.process_group(self.device) as device:
            print_progress(limits_line(device))
            for number, config in enumerate(cases):
                print_progress(
                    f"{number + 1} of {len(cases)}: N = {config.gan.discriminators}, batch "
                    f"{config.train.batch_size}, width {config.model.discriminator_width}, "
                    f"{config.data.resolution} px, {config.train.precision}"
                )
                images = load_enough_images(config.data, config.train.batch_size, "batch_sizes")
                rows += measure(
                    config,
                    images,
                    device,
                    steps=self.steps,
                    warm_up=self.warm_up,
                    rounds=self.rounds,
                )
            if self.profile:
                trainer = make_trainer("d3gan", cases[-1], images, device)
                write_trace(trainer, self.steps or 2, Path(self.profile))
        self.finish(rows, step_table, LEGEND)
        if self.plot:
            step_plot(rows, Path(self.plot))

    def _cases(self, start: Config) -> list[Config]:
        widths = self.widths or (None,)
        resolutions = self.resolutions or (start.data.resolution,)
        cases = itertools.product(
            self.precisions, resolutions, widths, self.discriminators, self.batch_sizes
        )
        return [self._case(start, *values) for values in cases]

    def _case(
        self,
        start: Config,
        precision: str,
        resolution: int,
        width: int | None,
        discriminators: int,
        batch_size: int,
    ) -> Config:
        most = max(self.images, batch_size)
        limit = min(start.data.limit or most, most)
        widths = {"generator_width": width, "discriminator_width": width} if width else {}
        changes = {
            "data": {"resolution": resolution, "limit": limit},
            "model": widths,
            "gan": {"discriminators": discriminators},
            "train": {"batch_size": batch_size, "precision": precision, "mesh": ""},
        }
        return configs.validate(configs.from_dict(changes, start))


def step_table(rows: list[Row]) -> Table:
    """Return a table of at most 80 columns with one line for each case."""
    table = make_table(
        *("N", "batch", "width", "px", "type", "ms/step", "plain", "speed-up", "matmul", "GB"),
    )
    for row, plain in zip(rows[::2], rows[1::2], strict=True):
        table.add_row(
            str(row["discriminators"]),
            str(row["batch_size"]),
            str(row["width"]),
            str(row["resolution"]),
            row["precision"],
            f"{row['ms_per_step']:,.1f}",
            f"{plain['ms_per_step']:,.1f}",
            cell(row, "ratio_to_baseline"),
            f"{row['flops_per_second'] / row['matmul_flops_per_second']:.0%}",
            gigabytes(row),
        )
    return table
