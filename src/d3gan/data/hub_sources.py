"""Data sets of the Hugging Face hub that have a short name here."""

import os
from dataclasses import dataclass
from pathlib import Path

from d3gan.data import hub
from d3gan.data.parquet import parquet_files, read_parquet
from d3gan.data.source import Source
from d3gan.errors import UserError


@dataclass(frozen=True)
class HubSource:
    """A data set on the hub."""

    name: str
    images: str
    """Number of training images and their size, for people."""
    repository: str
    config: str
    image: str
    """Name of the column of images."""
    label: str
    """Name of the column of labels."""
    channels: int = 3
    """Number of channels of the original images."""
    splits: tuple[str, ...] = ("train", "test")
    revision: str = "main"
    """Commit that is downloaded; "main" is not pinned."""

    def find(self, split: str) -> Source:
        """Return the images of a split, from $D3GAN_DATA or the hub. Raises UserError."""
        if split not in self.splits:
            splits = ", ".join(self.splits)
            raise UserError(f"{self.name} has no split '{split}'; splits: {splits}")
        local = local_folder(self.name)
        folder = local or hub.download(self.repository, self.config, split, self.revision)
        files = parquet_files(folder, self.config, split)
        found = read_parquet(self.name, files, self.image, self.label)
        return found if local else found._replace(revision=hub.revision_of(folder))

    def location(self) -> str:
        """Return the folder under $D3GAN_DATA, or the repository on the hub."""
        local = f"$D3GAN_DATA/{self.name}"
        return local if local_folder(self.name) else f"hub: {self.repository}"


HUB_SOURCES = (
    HubSource(
        "mnist", "60,000 (28 x 28, grey)", "ylecun/mnist", "mnist", "image", "label",
        channels=1, revision="77f3279092a1c1579b2250db8eafed0ad422088c",
    ),
    HubSource(
        "fashion-mnist", "60,000 (28 x 28, grey)", "zalando-datasets/fashion_mnist",
        "fashion_mnist", "image", "label", channels=1,
    ),
    HubSource(
        "cifar10", "50,000 (32 x 32)", "uoft-cs/cifar10", "plain_text", "img", "label",
        revision="0b2714987fa478483af9968de7c934580d0bb9a2",
    ),
    HubSource(
        "cifar100", "50,000 (32 x 32)", "uoft-cs/cifar100", "cifar100", "img", "fine_label",
        revision="aadb3af77e9048adbea6b47c21a81e47dd092ae5",
    ),
    HubSource(
        "svhn", "73,257 (32 x 32)", "ufldl-stanford/svhn", "cropped_digits", "image", "label",
        splits=("train", "test", "extra"),
    ),
    HubSource(
        "stl10", "5,000 (96 x 96)", "tanganke/stl10", "", "image", "label",
        revision="49ae7f94508f7feae62baf836db284306eab0b0f",
    ),
)  # fmt: skip


def data_folder() -> Path | None:
    """Return $D3GAN_DATA, the folder that holds data sets by name in the hub's layout."""
    folder = os.environ.get("D3GAN_DATA")
    return Path(folder) if folder else None


def local_folder(name: str) -> Path | None:
    """Return the folder of a data set under $D3GAN_DATA; None if there is none."""
    folder = data_folder()
    return folder / name if folder and (folder / name).is_dir() else None


def find_on_hub(source: str, split: str) -> Source:
    """Return the images of ``owner/name`` or ``owner/name:config``. Raises UserError."""
    repository, _, config = source.partition(":")
    local = local_folder(repository)
    folder = local or hub.download(repository, config, split, "main")
    found = read_parquet(source, parquet_files(folder, config, split))
    return found if local else found._replace(revision=hub.revision_of(folder))
