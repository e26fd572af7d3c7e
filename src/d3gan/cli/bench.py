"""d3gan bench: its kinds, and what they have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from rich.table import Table

from d3gan.cli.parsing import check_at_least_one, parse, subcommand
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, print_table, write_json

if TYPE_CHECKING:
    from d3gan.config import DataConfig
    from d3gan.data.cache import ImageSet

Row = dict[str, Any]

KINDS = {"step": "Step", "data": "Data", "scaling": "Scaling"}
"""Class of each kind, in the module of the kind; imported when needed, because torch is slow."""


_USAGE = """\
usage: d3gan bench KIND ...

Measure the speed of training on this machine.

  step      a training step, compared with a plain training loop
  data      how long a step waits for its images
  scaling   training with several processes

See d3gan bench KIND --help."""


@dataclass(frozen=True)
class Timing:
    """Flags of all benchmarks, which time blocks of steps in turn."""

    steps: int = 4
    """Steps in a block."""
    warm_up: int = 3
    """Steps before the first block, which are not timed."""
    rounds: int = 5
    """Number of timed blocks of each kind, in turn; results are medians, with the smallest and the
    largest value."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device to measure; auto: CUDA, or MPS, where there is a device."""
    json: str = ""
    """Write the numbers as JSON to this file; with "-", print only that JSON."""

    def check(self, *more: str, without: tuple[str, ...] = ()) -> None:
        """Raise UserError if a count (also of the flags `more`) or the JSON file is invalid."""
        check_json(self.json)
        counts = (*more, "steps", "warm_up", "rounds")
        check_at_least_one(self, *(name for name in counts if name not in without))

    def finish(
        self, rows: list[Row], table: Callable[[list[Row]], Table], legend: str = ""
    ) -> None:
        """Write and print the results; `legend` explains the columns of the table."""
        from d3gan.training.environment import hardware

        write_json({"environment": hardware(), "rows": rows}, self.json)
        if self.json != STANDARD_OUTPUT:
            print_table(table(rows))
            if legend:
                print(f"\n{legend}")


def bench(arguments: list[str]) -> int:
    """Time steps of training, their data, or their scaling over processes."""
    kind, rest = subcommand(KINDS, arguments, "bench", usage=_USAGE)
    options = getattr(import_module(f"d3gan.cli.bench_{kind}"), KINDS[kind])
    benchmark = parse(options, rest, f"bench {kind}")
    from d3gan.training.process import prepare_process  # imports torch

    prepare_process()
    benchmark.run()
    return 0


def load_enough_images(data: "DataConfig", batch_size: int, flag: str) -> "ImageSet":
    """Return the images, decoded before anything is timed.

    Raises UserError, which names `flag`, if there are fewer than `batch_size`.
    """
    from d3gan.data.cache import check_enough, load_images

    images = load_images(data)
    check_enough(len(images.images), data, batch_size, flag)
    return images


def cell(row: Row, name: str, digits: int = 2) -> str:
    """Return a median with its extremes: 1.50 (1.41-1.79)."""
    return f"{row[name]:.{digits}f} ({row[f'{name}_low']:.2f}-{row[f'{name}_high']:.2f})"


def gigabytes(row: Row) -> str:
    """Return the peak memory in GB, or "-" where the system does not report it."""
    memory = row["peak_memory_bytes"]
    return "-" if memory is None else f"{memory / 1e9:.2f}"
