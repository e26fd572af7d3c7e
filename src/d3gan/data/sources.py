"""Finding images: registered names, hub data sets, folders, files and plugins."""

import re
from pathlib import Path

from d3gan.data.digits import Digits
from d3gan.data.hub_sources import HUB_SOURCES, HubSource, find_on_hub
from d3gan.data.plugin import plugin_source
from d3gan.data.readers import Source, parquet_files, read_arrays, read_folder, read_parquet
from d3gan.data.stacked_mnist import StackedMnist
from d3gan.errors import UserError
from d3gan.registry import is_plugin, nearest

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")
"""owner/name, or owner/name:config for a data set with several configurations."""


NamedSource = Digits | HubSource | StackedMnist
_ALL: tuple[NamedSource, ...] = (Digits(), *HUB_SOURCES, StackedMnist())
SOURCES: dict[str, NamedSource] = {source.name: source for source in _ALL}
"""Registered data sources by name. To add one, write a class like those above and enter it here."""


def find_source(source: str, split: str) -> Source:
    """Return the images that `source` names. Raises UserError that names what would be right."""
    if source in SOURCES:
        return SOURCES[source].find(split)
    path = Path(source).expanduser()
    if path.is_dir():
        if any(path.rglob("*.parquet")):
            return read_parquet(str(path), parquet_files(path, "", split))
        return read_folder(path)
    if path.suffix in (".npy", ".npz"):
        if not path.is_file():
            raise UserError(f"there is no file {path}")
        return read_arrays(path)
    if path.exists():
        raise UserError(f"{path} is neither a folder nor a .npy or .npz file")
    if HUB_NAME.fullmatch(source):
        return find_on_hub(source, split)
    if is_plugin(source):
        return plugin_source(source, split)
    raise UserError(
        f"there is no data source '{source}'{nearest(source, SOURCES)}; it is a name "
        f"({', '.join(SOURCES)}), a hub data set owner/name, a folder or file that exists, or a "
        "plugin module.path:Name"
    )
