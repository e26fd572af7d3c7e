"""What all kinds of d3gan bench have in common: their flags, and how they end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rich.table import Table

from d3gan.cli.parsing import check_at_least_one
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, print_table, write_json
from d3gan.config import DataConfig
from d3gan.data.cache import ImageSet, check_enough, load_images
from d3gan.training.environment import hardware

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Timing:
    """Blocks of steps, repeated in turn."""

    steps: int = 4
    """Steps in a block."""
    warm_up: int = 3
    """Steps before, not timed."""
    rounds: int = 5
    """Blocks of each kind, in turn; medians and extremes are told."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where there is one."""
    json: str = ""
    """Write the numbers to this file; -: to standard output, and nothing else."""

    def check(self, *more: str) -> None:
        """Raise UserError for what cannot be measured or written; `more` flags are at least 1."""
        check_json(self.json)
        check_at_least_one(self, *more, "steps", "warm_up", "rounds")

    def finish(self, rows: Rows, table: Callable[[Rows], Table]) -> None:
        """Write and print what was measured."""
        write_json({"environment": hardware(), "rows": rows}, self.json)
        if self.json != STANDARD_OUTPUT:
            print_table(table(rows))


def images_for(data: DataConfig, batch_size: int, flag: str) -> ImageSet:
    """The images, decoded once, before anything is timed. Raises UserError if they are too few."""
    images = load_images(data)
    check_enough(len(images.images), images.name, batch_size, flag)
    return images
