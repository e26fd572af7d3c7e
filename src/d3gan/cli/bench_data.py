"""d3gan bench data."""

from dataclasses import dataclass
from typing import Any

from rich.table import Table

from d3gan import config as configs
from d3gan.bench import data as feeding
from d3gan.cli.bench_options import Timing, images_for
from d3gan.config import from_dict
from d3gan.config_files import starting_point
from d3gan.training import distributed


@dataclass(frozen=True)
class Data(Timing):
    """Measure how fast images come to training, and how long a step waits for them."""

    preset: str = "cifar10-d3gan"
    """A preset, a .toml file or a run: what is trained."""
    batch_size: int = 64

    def run(self) -> None:
        """Measure, print and write."""
        self.check("batch_size")
        start, _ = starting_point(self.preset)
        train = {"batch_size": self.batch_size, "precision": "fp32", "mesh": ""}
        config = configs.validate(from_dict({"train": train}, start))
        with distributed.process_group(self.device) as device:
            images = images_for(config.data, self.batch_size, "batch_size")
            rows = feeding.measure(
                config,
                images.images,
                device,
                steps=self.steps,
                warm_up=self.warm_up,
                rounds=self.rounds,
            )
        self.finish(rows, data_table)


def data_table(rows: list[dict[str, Any]]) -> Table:
    """One line for each way; fits into 80 columns."""
    table = Table("images from", box=None)
    for heading in ("alone, images/s", "ms/step", "waiting ms", "share", "step to resident"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row["feed"],
            f"{row['images_per_second_alone']:,.0f}",
            f"{row['ms_per_step']:,.1f}",
            f"{row['waiting_ms']:.2f}",
            f"{row['waiting_share']:.2%}",
            f"{row['step_ratio_to_resident']:.3f} "
            f"({row['step_ratio_to_resident_low']:.2f}-{row['step_ratio_to_resident_high']:.2f})",
        )
    return table
