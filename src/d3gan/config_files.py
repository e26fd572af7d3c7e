"""Read configurations from presets, TOML and ini files, and run folders."""

import dataclasses
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from d3gan.config import Config, from_dict, to_dict, unknown_key
from d3gan.config_ini import from_ini
from d3gan.config_paths import beside
from d3gan.errors import UserError
from d3gan.fields import Location
from d3gan.registry import nearest
from d3gan.run_places import CONFIG
from d3gan.runs import RunFolder
from d3gan.text_files import read_text, read_toml

OTHER_NAMES_OF_BASE: Final = ("extends", "inherit", "inherits", "parent", "preset")
"""Keys with which other programs start from another configuration."""


def presets() -> list[str]:
    """Return the names of the presets in the package."""
    files = [file.name for file in (resources.files("d3gan") / "presets").iterdir()]
    return sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml"))


def load_preset(name: str) -> Config:
    """Return the preset `name`. Raises UserError that names the nearest one."""
    if name not in presets():
        hint = nearest(name, presets())
        raise UserError(f"there is no preset '{name}'{hint}; `d3gan presets` lists them")
    text = (resources.files("d3gan") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return from_toml(text, name, f"preset {name}")


def load_file(path: Path) -> Config:
    """Return the config of a .toml file, or of a config.ini. Raises UserError."""
    text = read_text(path)
    if path.suffix == ".ini":
        return from_ini(text, path)
    name = path.parent.name if path.name == CONFIG else path.stem
    return from_toml(text, name, str(path), None if _is_saved(path) else path)


def _is_saved(path: Path) -> bool:
    """Return whether a run wrote the file, whose paths are absolute (older versions: relative to
    the working directory)."""
    return path.name == CONFIG and RunFolder(path.parent).environment_file.exists()


def from_toml(text: str, name: str, origin: str, file: Path | None = None) -> Config:
    """Return the config of a TOML text, in which `base = "PRESET"` starts from a preset.

    `name` is the run's name if the text has none; `origin` precedes error messages. Relative paths
    in the text are relative to `file`, or stay as they are without it. Raises UserError.
    """
    values = read_toml(text, origin)
    if file:
        values = beside(file, values)
    _check_names(values, origin)
    base = values.pop("base", None)
    if not isinstance(base, str | None):
        raise UserError(f"{origin}: base = {base!r}: must be the name of a preset")
    if isinstance(train := values.get("train"), dict):
        # Both engines of older versions computed the same, so any file with the key is readable.
        train.pop("engine", None)
    config = from_dict(values, load_preset(base) if base else None, origin)
    return config if values.get("name") else dataclasses.replace(config, name=name)


def _check_names(values: Mapping[str, Any], origin: str) -> None:
    """Raise UserError if a key or a table of a TOML text is unknown; it may have ``base``."""
    for key, value in values.items():
        if key in OTHER_NAMES_OF_BASE:
            line = f'base = "{value}" starts from that preset'
            raise UserError(
                f"{origin}: unknown key {key} = {value!r} (did you mean 'base'? {line})"
            )
        if key != "base" and key not in to_dict(Config()):
            raise UserError(f"{origin}: {unknown_key(key, value, also=('base',))}")


def starting_point(word: str) -> tuple[Config, bool]:
    """Return the config that `word` names, and whether it is that of a run to resume.

    `word` is a run folder, a file or a preset. Raises UserError.
    """
    path = Path(word)
    run = RunFolder(path)
    if run.exists():
        config = load_file(run.config_file)
        # The folder may have been moved or renamed, or be given as a link or as ".".
        real = path.resolve()
        plain = path.name == real.name and path.parent.resolve() == real.parent
        out_dir = path.parent if plain else real.parent
        return dataclasses.replace(config, name=real.name, out_dir=str(out_dir)), True
    if path.suffix in (".toml", ".ini"):
        return load_file(path), False
    if word not in presets():
        if path.exists():
            run.require("train")
        if len(path.parts) > 1 or Location.is_written_as_path(word):
            raise UserError(f"{word}: there is no such file or folder")
    return load_preset(word), False
