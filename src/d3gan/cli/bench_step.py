"""d3gan bench step."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from d3gan import config as configs
from d3gan.bench import step as stepping
from d3gan.cli.bench_options import Timing, images_for
from d3gan.cli.printing import tell
from d3gan.config import from_dict
from d3gan.config_files import starting_point
from d3gan.errors import UserError
from d3gan.report.plots import step_plot
from d3gan.training import distributed


@dataclass(frozen=True)
class Step(Timing):
    """Measure how long a step of training takes, by engine, on one device."""

    preset: str = "cifar10-d3gan"
    """A preset, a .toml file or a run: what is trained."""
    engines: tuple[Literal["d3gan", "baseline"], ...] = ("d3gan", "baseline")
    discriminators: tuple[int, ...] = (1, 2)
    """Numbers of discriminators."""
    batch_sizes: tuple[int, ...] = (64,)
    precisions: tuple[Literal["fp32", "bf16", "fp64"], ...] = ("fp32",)
    """The baseline computes in fp32 where bf16 is requested."""
    plot: str = ""
    """Draw throughput against batch size into this file."""
    profile: str = ""
    """Write a Chrome trace of the first engine's steps, the last case, to this file."""

    def run(self) -> None:
        """Measure, print and write."""
        self.check()
        for name in ("engines", "discriminators", "batch_sizes", "precisions"):
            if not getattr(self, name):
                raise UserError(f"{name}: name at least one")
        start, _ = starting_point(self.preset)
        cases = [
            configs.validate(
                from_dict(
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
        rows: list[dict[str, Any]] = []
        with distributed.process_group(self.device) as device:
            images = images_for(start.data, max(self.batch_sizes), "batch_sizes").images
            for number, config in enumerate(cases):
                tell(
                    f"{number + 1} of {len(cases)}: N = {config.gan.discriminators}, batch "
                    f"{config.train.batch_size}, {config.train.precision}"
                )
                rows += stepping.measure(
                    config,
                    self.engines,
                    images,
                    device,
                    steps=self.steps,
                    warm_up=self.warm_up,
                    rounds=self.rounds,
                )
            if self.profile:
                engine = stepping.make_trainer(self.engines[0], cases[-1], images, device)
                stepping.write_trace(engine, self.steps, Path(self.profile))
        self.finish(rows, step_table)
        if self.plot:
            step_plot(rows, Path(self.plot))


def step_table(rows: list[dict[str, Any]]) -> Table:
    """One line per case and engine; fits into 80 columns."""
    table = Table("engine", box=None)
    headings = ("N", "batch", "type", "images/s", "ms/step", "times baseline", "of matmul", "GB")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        memory = row["peak_memory_bytes"]
        table.add_row(
            row["engine"],
            str(row["discriminators"]),
            str(row["batch_size"]),
            row["precision"],
            f"{row['images_per_second']:,.0f}",
            f"{row['ms_per_step']:,.1f}",
            f"{row['ratio_to_baseline']:.2f} "
            f"({row['ratio_to_baseline_low']:.2f}-{row['ratio_to_baseline_high']:.2f})",
            f"{row['flops_per_second'] / row['matmul_flops_per_second']:.0%}",
            "-" if memory is None else f"{memory / 1e9:.2f}",
        )
    return table
