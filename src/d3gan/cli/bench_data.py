"""d3gan bench data."""

from dataclasses import dataclass

from rich.table import Table

from d3gan import config as configs
from d3gan.bench.data import measure
from d3gan.bench.limits import limits_line
from d3gan.cli.bench import Row, Timing, cell, load_enough_images
from d3gan.cli.printing import make_table, print_progress
from d3gan.config_files import starting_point
from d3gan.training import distributed


@dataclass(frozen=True)
class Data(Timing):
    """Measure how fast images reach the training loop, and how long a step waits for them."""

    preset: str = "cifar10-d3gan"
    """What to train: a preset, a .toml file or a run."""
    batch_size: int = 64
    """Images per step."""

    def run(self) -> None:
        """Measure, print and write."""
        self.check("batch_size")
        start, _ = starting_point(self.preset)
        train = {"batch_size": self.batch_size, "precision": "fp32", "mesh": ""}
        config = configs.validate(configs.from_dict({"train": train}, start))
        with distributed.process_group(self.device) as device:
            print_progress(limits_line(device))
            images = load_enough_images(config.data, self.batch_size, "batch_size")
            rows = measure(
                config, images, device, steps=self.steps, warm_up=self.warm_up, rounds=self.rounds
            )
        self.finish(rows, data_table)


def data_table(rows: list[Row]) -> Table:
    """Return a table of at most 80 columns with one line for each feed."""
    table = make_table(
        "images from", "alone, images/s", "ms/step", "waiting ms", "share", "step to resident"
    )
    for row in rows:
        table.add_row(
            row["feed"],
            f"{row['images_per_second_alone']:,.0f}",
            f"{row['ms_per_step']:,.1f}",
            f"{row['waiting_ms']:.2f}",
            f"{row['waiting_share']:.2%}",
            cell(row, "step_ratio_to_resident", 3),
        )
    return table
