"""Arguments that several functions of the API take."""

import os
from collections.abc import Mapping
from typing import Any

from d3gan import config as configs
from d3gan.config import Config
from d3gan.config_files import starting_point
from d3gan.data.in_memory import Dataset, store_images
from d3gan.errors import UserError

StrPath = str | os.PathLike[str]

Images = StrPath | Dataset
"""Images: a name, a folder or a file, or a data set in memory (`d3gan.data.in_memory`)."""


def source_of(images: Images) -> str:
    """Return the data source of images, which are stored in the cache if they are in memory.

    Raises UserError.
    """
    if isinstance(images, str | os.PathLike):
        return os.fspath(images)
    return store_images(images)


def flat_changes(changes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return changes of a configuration, whose keys are dotted or nested or both, by dotted key.

    Paths become texts. Raises UserError for a key that is given twice, or is no text.
    """
    flat: dict[str, Any] = {}
    if not isinstance(changes, Mapping | None):
        raise UserError(
            f"changes = {changes!r}: must be a dictionary such as {{'train.epochs': 3}}"
        )
    for key, value in (changes or {}).items():
        if not isinstance(key, str):
            raise UserError(f"changes have the key {key!r}; keys are texts such as 'train.epochs'")
        inside = {key: value}
        if isinstance(value, Mapping):
            inside = {f"{key}.{name}": item for name, item in flat_changes(value).items()}
        for name, item in inside.items():
            if name in flat:
                raise UserError(f"{name} is given twice: {flat[name]!r} and {item!r}")
            flat[name] = os.fspath(item) if isinstance(item, os.PathLike) else item
    for key in flat:
        if any(other.startswith(f"{key}.") for other in flat):
            raise UserError(f"{key} = {flat[key]!r}: must be a table of keys")
    return flat


def with_data(changes: Mapping[str, Any] | None, data: Images | None) -> dict[str, Any]:
    """Return the changes by dotted key, with the source of `data`, unless that is None.

    Raises UserError.
    """
    flat = flat_changes(changes)
    if data is not None:
        if "data.source" in flat:
            raise UserError("data.source and data are both given; leave one of them out")
        flat["data.source"] = source_of(data)
    return flat


def configured(
    start: StrPath | Config, changes: Mapping[str, Any] | None, data: Images | None
) -> tuple[Config, bool]:
    """Return the checked configuration of a run, and whether the run exists and is resumed.

    Raises UserError.
    """
    resume = False
    if not isinstance(start, Config):
        start, resume = starting_point(os.fspath(start))
    nested = configs.nested(with_data(changes, data))
    config = configs.validate(configs.from_dict(nested, start, "changes"))
    if not config.name:
        raise UserError("name = '': must not be empty")
    if resume:
        configs.refuse_changes(start, config)
    return config, resume
