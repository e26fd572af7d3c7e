"""d3gan presets."""

from rich.table import Table

from d3gan import config_files
from d3gan.cli.parsing import parse
from d3gan.cli.printing import print_table


def presets(arguments: list[str]) -> int:
    """List the presets."""
    parse(_presets, arguments, "presets")
    return 0


def _presets() -> None:
    """List the presets."""
    table = Table("preset", "data", "N", "aggregation", "width", "batch", "epochs", box=None)
    for name in config_files.presets():
        config = config_files.load_preset(name)
        table.add_row(
            name,
            f"{config.data.source} {config.data.resolution}x{config.data.resolution}",
            str(config.gan.discriminators),
            config.gan.aggregation if config.gan.discriminators > 1 else "-",
            str(config.model.generator_width),
            str(config.train.batch_size),
            f"{config.train.epochs:g}",
        )
    print_table(table)
    print("\nN: number of discriminators (1 is DCGAN). To train a preset: d3gan train NAME")
