"""Paths among the values of a configuration.

In a .toml file they are relative to the folder of the file; on the command line and in Python, to
the working directory; in what a run saves they are absolute, so that its meaning never changes.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from d3gan.config import Config, from_dict, metadata_of, to_dict
from d3gan.errors import UserError
from d3gan.fields import Location
from d3gan.messages import note


def beside(file: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a file, nested as in TOML, with its relative paths made complete.

    A value is a text or a list of texts. Raises UserError if a path exists in the working directory
    only, where older versions looked for it.
    """

    def complete(key: str, location: Location, value: str) -> str:
        path = location.relative_path(value)
        if path is None:
            return value
        found = _joined(file.parent, path)
        here = Path(path)
        if not location.may_be_name:
            if not found.exists() and here.exists() and _is_main():
                note(
                    f"paths in {file} are relative to that file: its {key} = {value!r} is {found}, "
                    f"and not {path} in the working directory, which exists too"
                )
            return location.prefix + str(found)
        if not found.exists() and here.exists():
            right = os.path.relpath(here, file.parent)
            raise UserError(
                f"{file}: {key} = {value!r}: there is no {found}; paths in a file are relative to "
                f"the file, and this one is in the working directory: write {right!r}"
            )
        is_path = found.exists() or location.is_written_as_path(path)
        return location.prefix + str(found) if is_path else value

    return _changed(values, complete)


def absolute(config: Config) -> Config:
    """Return the config with absolute paths, from paths relative to the working directory."""

    def complete(key: str, location: Location, value: str) -> str:
        path = location.relative_path(value)
        if path is None or (location.may_be_name and not Path(path).exists()):
            return value
        return location.prefix + str(Path(path).absolute())

    return from_dict(_changed(to_dict(config), complete))


Complete = Callable[[str, Location, str], str]


def _changed(values: Mapping[str, Any], complete: Complete, prefix: str = "") -> dict[str, Any]:
    """Return nested values with `complete(key, location, text)` in place of texts with paths."""
    changed: dict[str, Any] = {}
    for name, value in values.items():
        key = prefix + name
        location = next((item for item in metadata_of(key) if isinstance(item, Location)), None)
        if isinstance(value, Mapping):
            value = _changed(value, complete, f"{key}.")
        elif location and isinstance(value, str):
            value = complete(key, location, value)
        elif location and isinstance(value, list):
            value = [complete(key, location, x) if isinstance(x, str) else x for x in value]
        changed[name] = value
    return changed


def _joined(folder: Path, path: str) -> Path:
    """Return a path below a folder, without ``..`` where that is another name of the same place."""
    joined = folder / path
    plain = Path(os.path.normpath(joined))
    return plain if plain.resolve() == joined.resolve() else joined.resolve()


def _is_main() -> bool:
    """Return whether this is the process of a group that prints."""
    return os.environ.get("RANK", "0") == "0"
