"""d3gan data list, prepare, show, classifier."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table

from d3gan import config as configs
from d3gan.cli.parsing import check_output, parse, subcommand
from d3gan.cli.printing import print_table
from d3gan.config import DataConfig
from d3gan.data.cache import ImageSet, load_images
from d3gan.data.hub_sources import data_folder
from d3gan.data.labels import list_classes
from d3gan.data.locations import cache_folder
from d3gan.data.sources import SOURCES
from d3gan.fields import check_draw
from d3gan.files import writing
from d3gan.images import enlarged, grid, save_picture
from d3gan.messages import note
from d3gan.outputs import check_replaceable

_USAGE = """\
usage: d3gan data ACTION ...

The real images.

  list                        list the sources that have a name
  prepare SOURCE              download and decode images now, before training
  show SOURCE -o grid.png     draw a grid of images as training sees them
  classifier SOURCE -o FILE   train the classifier by which metrics are computed

See d3gan data ACTION --help."""


def data(arguments: list[str]) -> int:
    """List, prepare or show data sources, or train a classifier of one."""
    actions: dict[str, Callable[..., None]] = {
        "list": _list,
        "prepare": _prepare,
        "show": _show,
        "classifier": _classifier,
    }
    action, rest = subcommand(actions, arguments, "data", usage=_USAGE)
    parse(actions[action], rest, f"data {action}")
    return 0


def _list() -> None:
    """List the data sources that have a name."""
    table = Table("source", "images", "from", box=None)
    for source in SOURCES.values():
        table.add_row(source.name, source.images, source.location())
    print_table(table)
    print(
        "\nAlso: any hub data set owner/name, a folder of images, a .npy or .npz file,\n"
        "or a plugin module.path:Name.\n"
        f"D3GAN_DATA (searched first): {data_folder() or 'not set'}\n"
        f"Decoded images are kept in {cache_folder()}"
    )


@dataclass(frozen=True)
class Wanted:
    """The images of a source."""

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """A name (d3gan data list), a hub data set owner/name, a folder, a .npy or .npz file, or a
    plugin module.path:Name."""
    split: str = "train"
    """Split of the data set, such as train or test."""
    resolution: int = 32
    """Side of the square images in pixels."""
    channels: int = 0
    """Number of channels: 1 for grey, 3 for colour, 0 for those of the source."""
    skip_broken: bool = False
    """Leave out images that cannot be read."""

    def config(self) -> DataConfig:
        """Return the keys ``data`` of a configuration with these images. Raises UserError."""
        native = SOURCES[self.source].channels if self.source in SOURCES else 3
        values = vars(self) | {"channels": self.channels or native}
        return configs.from_dict({"data": values}).data

    def load(self) -> ImageSet:
        """Return the images, and print the names of broken ones that are left out."""
        images = load_images(self.config())
        for name in images.skipped:
            print(f"skipped broken image {name}")
        for line in images.notes:
            note(line)
        return images


Unnamed = Annotated[Wanted, tyro.conf.arg(name="")]


def _prepare(wanted: Unnamed) -> None:
    """Download and decode a source now, so that training starts at once."""
    images = wanted.load()
    shape = " x ".join(str(side) for side in images.images.shape[1:])
    classes = images.classes or len(set(images.labels[images.labels >= 0].tolist()))
    count = len(images.images)
    print(f"{images.name} {wanted.split}: {count} images of {shape}, {classes} classes")
    _print_classes(images)


def _show(
    wanted: Unnamed,
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("grid.png"),
) -> None:
    """Draw a grid of real images as training sees them.

    Args:
        wanted: The images of a source.
        count: Number of images, chosen at random.
        seed: Seed of the choice.
        output: PNG file to write.
    """
    check_draw(count, seed)
    check_output(output, (".png",))
    check_replaceable(output)
    found = wanted.load()
    images = found.images
    from d3gan.rng import Stream, permutation  # imports torch

    chosen = permutation(seed, Stream.SUBSET, 0, len(images))[:count].numpy()
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        save_picture(enlarged(grid(images[chosen])), output)
    print(f"{len(chosen)} images of {wanted.source}: {output}")
    _print_classes(found)


def _print_classes(images: ImageSet) -> None:
    """Print which number stands for which class, if the classes have names."""
    if line := list_classes(images.class_names):
        print(line)


def _classifier(
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")],
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    resolution: int = 32,
    channels: int = 0,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> None:
    """Train the classifier of a source's labels that metrics use, and write it to a file.

    Those of mnist and cifar10 are shipped with d3gan; this trains them again. Evaluations use the
    file of --eval.weights FILE (evaluate: --weights FILE) with --eval.features classifier.

    Args:
        source: A labelled source: a name (d3gan data list), a hub data set, a folder, a file.
        output: NAME.safetensors, the file to write.
        resolution: Side of the images in pixels.
        channels: Number of channels: 1 for grey, 3 for colour, 0 for those of the source.
        device: Where it is trained; auto: CUDA, or MPS, where there is one.
    """
    check_output(output, (".safetensors",))
    wanted = Wanted(source, resolution=resolution, channels=channels).config()
    command = ["d3gan", "data", "classifier", source, "-o", output.name]
    command += ["--resolution", str(resolution)] if resolution != 32 else []
    command += ["--channels", str(channels)] if channels else []
    from d3gan.evaluation.features.classifier_cache import (  # imports torch
        train_file,
        warn_if_guessing,
    )
    from d3gan.training.distributed import process_group

    with process_group(device) as found:
        trained = train_file(wanted, output, found, command=shlex.join(command))
    print(
        f"{source}: {trained.network.classes} classes, test accuracy {trained.test_accuracy:.2%}\n"
        f"{output} (SHA-256 {trained.sha256})"
    )
    warn_if_guessing(trained, source)
