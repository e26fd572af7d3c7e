"""d3gan data list, prepare, show."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from d3gan import config as configs
from d3gan.cli.parsing import check_draw, check_output, parse
from d3gan.cli.printing import print_table
from d3gan.data.cache import ImageSet, cache_folder, load_images
from d3gan.data.hub_sources import data_folder
from d3gan.data.sources import SOURCES
from d3gan.errors import UserError
from d3gan.files import writing
from d3gan.images import enlarged, grid, save_picture
from d3gan.registry import nearest


def data(arguments: list[str]) -> int:
    """List, prepare or show data sources."""
    actions: dict[str, Callable[..., None]] = {"list": _list, "prepare": _prepare, "show": _show}
    if not arguments or arguments[0] not in actions:
        word = arguments[0] if arguments else ""
        if word in ("-h", "--help"):
            print("usage: d3gan data list | prepare SOURCE | show SOURCE -o grid.png")
            return 0
        raise UserError(
            f"there is no command 'data {word}'{nearest(word, list(actions))}; "
            "write data list, data prepare SOURCE or data show SOURCE"
        )
    parse(actions[arguments[0]], arguments[1:], f"data {arguments[0]}")
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


Source = Annotated[str, tyro.conf.Positional]


def _prepare(
    source: Source,
    split: str = "train",
    resolution: int = 32,
    channels: int = 0,
    skip_broken: bool = False,
) -> None:
    """Download and decode a source now, so that training starts at once.

    Args:
        source: A name (d3gan data list), a hub data set owner/name, a folder, a .npy or .npz file,
            or a plugin module.path:Name.
        split: Part of the data set.
        resolution: Side of the square images in pixels.
        channels: 1 grey, 3 colour; 0: 1 for sources that are grey.
        skip_broken: Leave out images that cannot be read.
    """
    images = _load(source, split, resolution, channels, skip_broken)
    shape = " x ".join(str(side) for side in images.images.shape[1:])
    classes = images.classes or len(set(images.labels[images.labels >= 0].tolist()))
    print(f"{images.name} {split}: {len(images.images)} images of {shape}, {classes} classes")


def _show(
    source: Source,
    split: str = "train",
    resolution: int = 32,
    channels: int = 0,
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("grid.png"),
    skip_broken: bool = False,
) -> None:
    """Draw a grid of real images as training sees them.

    Args:
        source: A name (d3gan data list), a hub data set owner/name, a folder, a .npy or .npz file,
            or a plugin module.path:Name.
        split: Part of the data set.
        resolution: Side of the square images in pixels.
        channels: 1 grey, 3 colour; 0: 1 for sources that are grey.
        count: Number of images, chosen at random.
        seed: Seed of the choice.
        output: PNG file to write.
        skip_broken: Leave out images that cannot be read.
    """
    check_draw(count, seed)
    check_output(output, (".png",))
    images = _load(source, split, resolution, channels, skip_broken).images
    from d3gan.rng import Stream, permutation  # imports torch

    chosen = permutation(seed, Stream.SUBSET, 0, len(images))[:count].numpy()
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        save_picture(enlarged(grid(images[chosen])), output)
    print(f"{len(chosen)} images of {source}: {output}")


def _load(source: str, split: str, resolution: int, channels: int, skip_broken: bool) -> ImageSet:
    native = SOURCES[source].channels if source in SOURCES else 3
    values = {
        "source": source,
        "split": split,
        "resolution": resolution,
        "channels": channels or native,
        "skip_broken": skip_broken,
    }
    images = load_images(configs.from_dict({"data": values}).data)
    for name in images.skipped:
        print(f"skipped broken image {name}")
    return images
