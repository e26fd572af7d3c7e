"""d3gan presets."""

from rich.table import Column, Table

from d3gan import config_files
from d3gan.cli.parsing import parse
from d3gan.cli.printing import print_table
from d3gan.registry import parse_call


def presets(arguments: list[str]) -> int:
    """List the presets."""
    parse(_presets, arguments, "presets")
    return 0


def _presets() -> None:
    """List the presets."""
    table = Table(
        Column("preset", no_wrap=True), "data", "px", "N", "rule", box=None, pad_edge=False
    )
    for title in ("width", "batch", "epochs"):
        table.add_column(title)
    for name in config_files.presets():
        config = config_files.load_preset(name)
        table.add_row(
            name,
            config.data.source,
            str(config.data.resolution),
            str(config.gan.discriminators),
            parse_call(config.gan.aggregation)[0] if config.gan.discriminators > 1 else "-",
            str(config.model.generator_width),
            str(config.train.batch_size),
            f"{config.train.epochs:g}",
        )
    print_table(table)
    print(
        "\npx: side of the images; N: number of discriminators; rule: how the losses"
        "\nof the discriminators are combined for the generator; original: the rule of the"
        "\nfirst D3GAN project; width: channels of the generator's last hidden layer"
        "\nTo train a preset: d3gan train NAME"
    )
