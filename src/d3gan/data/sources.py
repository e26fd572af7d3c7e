"""Finding images: registered names, hub data sets, folders, files, plugins, images from Python."""

import os
import re
import stat
from pathlib import Path

from d3gan.data.arrays import read_arrays
from d3gan.data.digits import Digits
from d3gan.data.folders import ARCHIVES, ARRAYS, read_folder
from d3gan.data.formats import is_image_name
from d3gan.data.hub_sources import HUB_SOURCES, HubSource, find_on_hub, local_folder
from d3gan.data.in_memory import IN_MEMORY, stored_source
from d3gan.data.parquet import parquet_files, read_parquet
from d3gan.data.plugin import plugin_source
from d3gan.data.source import Source
from d3gan.data.stacked_mnist import StackedMnist
from d3gan.errors import UserError
from d3gan.registry import is_plugin, nearest

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")
"""owner/name, or owner/name:config for a data set with several configurations."""

DRIVE = re.compile(r"[A-Za-z]:[\\/]")
"""Start of an absolute path on Windows."""

SPLITS = {"train", "test", "val", "valid", "validation"}
"""Names of folders that are parts of a data set, not classes, if it has no others."""

NamedSource = Digits | HubSource | StackedMnist
_ALL: tuple[NamedSource, ...] = (Digits(), *HUB_SOURCES, StackedMnist())
SOURCES: dict[str, NamedSource] = {source.name: source for source in _ALL}
"""Registered data sources by name. To add one, write a class like those above and enter it here."""


def find_source(source: str, split: str) -> Source:
    """Return the images that `source` names. Raises UserError that names what would be right.

    What looks like a path is never looked up on the hub.
    """
    if source.startswith(IN_MEMORY):
        return stored_source(source, split)
    if source in SOURCES:
        return SOURCES[source].find(split)
    path = _expanded(source)
    if mode := _mode(path):
        return _at_path(path, mode, split)
    if is_plugin(source):
        return plugin_source(source, split)
    if is_path(source):
        raise UserError(_missing(path))
    if HUB_NAME.fullmatch(source):
        return find_on_hub(source, split)
    here = [entry.name for entry in Path().iterdir()]
    raise UserError(
        f"there is no data source '{source}'{nearest(source, [*SOURCES, *here])}; it is a name "
        f"({', '.join(SOURCES)}), a hub data set owner/name, a folder or file that exists, or a "
        "plugin module.path:Name"
    )


def hub_data_set(source: str) -> str | None:
    """Return the data set of the hub, owner/name, that a source names; None for other sources."""
    if source in SOURCES:
        return getattr(SOURCES[source], "repository", None)
    if is_plugin(source) or is_path(source) or _mode(_expanded(source)):
        return None
    return source.partition(":")[0] if HUB_NAME.fullmatch(source) else None


def is_path(source: str) -> bool:
    """Return whether a source that is neither a name nor a plugin is written as a path.

    ``photos/cats`` could also be a data set of the hub. It is a path where a folder ``photos``
    exists, unless $D3GAN_DATA holds a data set of that name.
    """
    path = Path(source)
    written = (
        source.startswith((".", "/", "~"))
        or source.endswith("/")
        or source.count("/") > 1
        or "\\" in source
        or DRIVE.match(source) is not None
        or path.suffix.lower() in (*ARRAYS, *ARCHIVES, ".parquet")
        or is_image_name(source)
    )
    below = "/" in source and bool(_mode(path.parent))
    return written or (below and not local_folder(source.partition(":")[0]))


def _at_path(path: Path, mode: int, split: str) -> Source:
    """Return the images at a path that exists. Raises UserError."""
    if stat.S_ISDIR(mode):
        if any(file.is_file() for file in path.rglob("*.parquet")):
            return read_parquet(str(path), parquet_files(path, "", split))
        return read_folder(_folder_of(path, split))
    if not stat.S_ISREG(mode):
        raise UserError(f"{path} is neither a folder nor a regular file")
    suffix = path.suffix.lower()
    if suffix in ARRAYS:
        if split != "train":
            raise UserError(f"{path} has no split '{split}'; splits: train")
        return read_arrays(path)
    if suffix in ARCHIVES:
        raise UserError(f"{path} is an archive; unpack it, and name the folder of images")
    if suffix == ".parquet" or is_image_name(path.name):
        raise UserError(f"{path} is one file of a data set; name its folder, {path.parent}")
    raise UserError(f"{path} is neither a folder nor a .npy or .npz file")


def _folder_of(path: Path, split: str) -> Path:
    """Return the folder of a split's images: `path` itself, unless it holds splits and no more.

    Raises UserError if there is no such split.
    """
    names = set()
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                names.add(entry.name if entry.is_dir() else "")
                if not names <= SPLITS:
                    break
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    divided = bool(names) and names <= SPLITS
    splits = sorted(names) if divided else ["train"]
    if split not in splits:
        raise UserError(f"{path} has no split '{split}'; splits: {', '.join(splits)}")
    return path / split if divided else path


def _expanded(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError as error:  # ~name of nobody
        raise UserError(f"no such folder or file: {source} ({error})") from error


def _mode(path: Path) -> int:
    """Return the type and permissions of a file or folder; 0 if there is none."""
    try:
        return path.stat().st_mode
    except PermissionError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (OSError, ValueError):  # also of a name that is too long
        return 0


def _missing(path: Path) -> str:
    """Return that a path does not exist, its first missing part, and the nearest name."""
    first = path
    while not _mode(first.parent):
        first = first.parent
    names = [entry.name for entry in first.parent.iterdir()] if first.parent.is_dir() else []
    part = "" if first == path else f"; there is no folder {first}"
    return f"no such folder or file: {path}{part}{nearest(first.name, names)}"
