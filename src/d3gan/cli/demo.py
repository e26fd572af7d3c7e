"""d3gan demo: train and compare DCGAN and D3GAN on real digits, in minutes, without a network."""

import math
from pathlib import Path
from typing import Annotated, Any

import tyro

from d3gan import config as configs
from d3gan import config_files
from d3gan.cli.parsing import parse
from d3gan.cli.printing import STANDARD_OUTPUT, check_json, in_lines, print_table, write_json
from d3gan.config import Config
from d3gan.config_files import starting_point
from d3gan.files import writing
from d3gan.images import enlarged, grid, save_picture
from d3gan.messages import note
from d3gan.report.pictures import side_by_side
from d3gan.report.sample_grids import animation
from d3gan.report.summary import summary, summary_table
from d3gan.runs import RunFolder
from d3gan.shell import command_line

PRESETS = {"demo-dcgan": "DCGAN (1 discriminator)", "demo-d3gan": "D3GAN (2 discriminators)"}
SHOWN = 100
"""Number of digits of each run in the final grid."""


def demo(arguments: list[str]) -> int:
    """Train both demo presets and show the results."""
    parse(_demo, arguments, "demo")
    return 0


def _demo(
    out_dir: str = "runs",
    epochs: Annotated[float, tyro.conf.arg(metavar="E")] = 0.0,
    json: str = "",
) -> None:
    """Train DCGAN and D3GAN on 5,000 real digits of MNIST, show both and compare them.

    Finished runs are not trained again, and interrupted ones are resumed.

    Args:
        out_dir: Folder for the runs demo-dcgan and demo-d3gan, demo-grid.png, demo.gif and the
            report demo.html.
        epochs: Number of epochs; 0: that of the presets.
        json: Write the table as JSON to this file; with "-", print only that JSON.
    """
    check_json(json)
    configurations = [_config(name, out_dir, epochs) for name in PRESETS]

    # Importing torch takes seconds: only now that the arguments are right.
    from d3gan.cli.report import write_report
    from d3gan.training.inference import load

    runs = [_trained(config) for config in configurations]
    sheets = []
    for run in runs:
        images = load(run.path).sample(SHOWN, seed=1)
        sheets.append(grid(images.transpose(0, 3, 1, 2), columns=math.isqrt(SHOWN)))
    picture, film = Path(out_dir) / "demo-grid.png", Path(out_dir) / "demo.gif"
    with writing(Path(out_dir)):
        save_picture(
            side_by_side([enlarged(sheet) for sheet in sheets], [*PRESETS.values()]), picture
        )
    animation(runs, [*PRESETS.values()], film)
    page = Path(out_dir) / "demo.html"
    comparison = write_report(runs, page, title="demo")
    write_json([summary(run) for run in runs], json)
    if json == STANDARD_OUTPUT:
        return
    print_table(summary_table(runs))
    print(
        f"\n{in_lines(comparison['judgement']['headline'])}\n\n"
        f"report:    {page}\ndigits:    {picture}\nanimation: {film}\n"
        f"more:      {command_line('sample', runs[1].path, '-n', 64)}"
    )


def _config(name: str, out_dir: str, epochs: float) -> Config:
    """Return the config of a preset's run. Raises UserError."""
    values: dict[str, Any] = {"out_dir": out_dir}
    if epochs:
        values["train"] = {"epochs": epochs}
    return configs.validate(configs.from_dict(values, config_files.load_preset(name)))


def _trained(config: Config) -> RunFolder:
    """Train the run to its end, or resume it."""
    from d3gan.training import trainer

    run = RunFolder(config.run_dir)
    if run.exists():
        configs.refuse_changes(starting_point(str(run.path))[0], config)
        note(f"{run.path} exists; resuming it")
    return trainer.train(config, resume=run.exists())
