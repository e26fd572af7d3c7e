"""The configuration: reading, checking and comparing values of the schema.

A wrong value is reported in one line that names the key, the value, and what is allowed.
"""

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import tomli_w

from d3gan.config_aliases import ALIASES, migrate
from d3gan.config_data import check_data
from d3gan.config_game import check_game
from d3gan.config_networks import check_networks
from d3gan.config_schedules import check_schedules, schedules_of_whole_run
from d3gan.errors import UserError
from d3gan.fields import Matching, Role, SameImages, checked
from d3gan.registry import Registry, is_plugin, nearest, plugin_file
from d3gan.schema import Config, DataConfig, EvalConfig, TrainConfig
from d3gan.schema_game import GanConfig

__all__ = ["Config", "DataConfig", "EvalConfig", "GanConfig", "TrainConfig"]


# Checking


def validate(config: Config) -> Config:
    """Return the config after checking that its values are allowed and fit together.

    Imports what the config names: lazy entries of registries and plugins. Raises UserError.
    """
    if config.gan.members:
        gan = dataclasses.replace(config.gan, discriminators=len(config.gan.members))
        config = dataclasses.replace(config, gan=gan)
    config = from_dict(to_dict(config))
    networks = ("model.architecture", "gan.members")
    built = {key: _built(key, config) for key in _choices() if key not in networks}
    check_game(config, built)
    check_data(config, built["gan.objective"][0])
    check_schedules(config, flatten(to_dict(config)), _metadata())
    model, members = (_built(key, config) for key in networks)  # last, because they import torch
    check_networks(config, model, members, built["gan.views"])
    return config


def _built(key: str, config: Config) -> list[Any]:
    """Return the objects that the value of a key, or each of its items, names."""
    value = flatten(to_dict(config))[key]
    try:
        return [_choices()[key].build(text) for text in _items(value)]
    except UserError as error:
        raise UserError(f"{key} = {_plain(value)!r}: {error}") from error


@cache
def _choices() -> dict[str, Registry[Any]]:
    """Return the registries of the keys whose values are names."""
    return {
        key: item
        for key, metadata in _metadata().items()
        for item in metadata
        if isinstance(item, Registry)
    }


def plugins(config: Config) -> dict[str, dict[str, str]]:
    """Return the plugins that the config uses, each with its module's ``file`` and ``sha256``.

    A module without a source file has neither.
    """
    found: dict[str, dict[str, str]] = {}
    for _, text in plugin_values(config):
        file = plugin_file(text)
        found[text] = _source(file) if file else {}
    return found


def plugin_values(config: Config) -> list[tuple[str, str]]:
    """Return the dotted keys and the values, or items of lists, that name plugins.

    No plugin is imported.
    """
    values = flatten(to_dict(config))
    return [
        (key, text)
        for key, metadata in _metadata().items()
        for item in metadata
        for text in _items(values[key])
        if (isinstance(item, Matching) and item.is_plugin(text))
        or (isinstance(item, Registry) and is_plugin(text))
    ]


def _source(file: Path) -> dict[str, str]:
    return {"file": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def _items(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


# Reading and writing


def from_dict(values: Mapping[str, Any], base: Config | None = None, origin: str = "") -> Config:
    """Return `base` with `values` (nested as in TOML) put over it. Old keys are migrated.

    `origin`, for example the file's name, precedes error messages. Raises UserError that names the
    key.
    """
    base = base or Config()
    origin = f"{origin}: " if origin else ""
    values = migrate(values, base.gan.penalties, origin)
    updated: Config = _updated(base, values, prefix="", origin=origin)
    return updated


def _updated(section: Any, values: Mapping[str, Any], prefix: str, origin: str) -> Any:
    hints = get_type_hints(type(section), include_extras=True)
    changes = {}
    for key, value in values.items():
        name = prefix + key
        if key not in hints:
            raise UserError(f"{origin}{unknown_key(name, value)}")
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, Mapping):
                raise UserError(f"{origin}{name} = {value!r}: must be a table of keys")
            changes[key] = _updated(getattr(section, key), value, f"{name}.", origin)
        else:
            changes[key] = checked(hints[key], value, f"{origin}{name}")
    return dataclasses.replace(section, **changes)


def unknown_key(key: str, value: Any, also: Sequence[str] = ()) -> str:
    """Return a message on an unknown dotted key with the nearest one, or those of its section.

    `also` are further keys without a section.
    """
    sections = [name for name, default in to_dict(Config()).items() if isinstance(default, dict)]
    hint = nearest(key, [*also, *sections, *keys()])
    prefix = f"{key.partition('.')[0]}." if "." in key else ""
    here = [name for name in keys() if name.startswith(prefix)]
    if not prefix:
        here = [*also, *(name for name in here if "." not in name), *(f"[{s}]" for s in sections)]
    allowed = f"; allowed: {', '.join(here)} (see d3gan train --help)"
    return f"unknown key {key} = {value!r}{hint or allowed}"


def typed(key: str, word: str) -> Any:
    """Return the value that a word of the command line gives to a key, old keys included.

    Items of a list are separated by commas. A word that is not of the key's type is returned as it
    is, for `from_dict` to refuse. Raises UserError for an unknown key.
    """
    hint = ALIASES.get(key)
    kind = getattr(hint, "__origin__", hint)
    if key in _defaults():
        kind = type(_defaults()[key])
    if kind is None:
        raise UserError(f"unknown key {key}{nearest(key, keys()) or '; see d3gan train --help'}")
    try:
        if kind is bool:
            return {"true": True, "false": False}.get(word.lower(), word)
        if kind is tuple:
            return re.split(r",(?![^(]*\))", word) if word else []  # commas outside of calls
        return kind(word)
    except ValueError:
        return word


def to_dict(config: Config) -> dict[str, Any]:
    """Return the values nested as in TOML."""
    return dataclasses.asdict(config)


def to_toml(config: Config) -> str:
    """Return the text of a file that `load_file` reads back as the same config."""
    return tomli_w.dumps(to_dict(config))


def keys() -> list[str]:
    """Return all keys, dotted: ``["name", ..., "data.source", ...]``."""
    return list(_defaults())


@cache
def _defaults() -> dict[str, Any]:
    return flatten(to_dict(Config()))


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return ``{"data": {"flip": True}}`` as ``{"data.flip": True}``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        nested = flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else None
        flat |= nested if nested is not None else {prefix + key: value}
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"data.flip": True}`` as ``{"data": {"flip": True}}``."""
    values: dict[str, Any] = {}
    for dotted, value in flat.items():
        *sections, key = dotted.split(".")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    return values


# Roles


@cache
def _metadata() -> dict[str, tuple[Any, ...]]:
    """Return the metadata of each key's annotation, by dotted key."""

    def of(section: Any, prefix: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
        for name, hint in get_type_hints(section, include_extras=True).items():
            if dataclasses.is_dataclass(hint):
                yield from of(hint, f"{prefix}{name}.")
            else:
                yield prefix + name, get_args(hint)[1:]

    return dict(of(Config, ""))


def metadata_of(key: str) -> tuple[Any, ...]:
    """Return the metadata of the annotation of a dotted key; nothing for an unknown one."""
    return _metadata().get(key, ())


def role(key: str) -> Role:
    """Return the role of a dotted key: result, schedule or machine."""
    (found,) = (item for item in _metadata()[key] if isinstance(item, Role))
    return found


def identifies_run(key: str) -> bool:
    """Return whether the key belongs to one run only: name, seed, out_dir. A study sets these."""
    return "." not in key


def separates_methods(key: str) -> bool:
    """Return whether runs with different values of the key are different methods of a study."""
    return role(key) is Role.RESULT and not identifies_run(key)


def may_change_on_resume(key: str, config: Config) -> bool:
    """Return whether a run with this config may be resumed with another value of the key.

    `train.epochs` may change as long as no schedule depends on it, and what names the images as
    long as they are the same, which is checked when they are read.
    """
    if SameImages() in metadata_of(key):
        return True
    if key == "train.epochs":
        return not schedules_of_whole_run(flatten(to_dict(config)), _metadata())
    return role(key) is not Role.RESULT and not identifies_run(key)


def changes(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Return the old and the new value of every dotted key that differs."""
    before, after = (flatten(to_dict(config)) for config in (old, new))
    return {k: (before[k], after[k]) for k in after if before[k] != after[k]}


def refuse_changes(old: Config, new: Config) -> None:
    """Raise UserError, naming the key and both values, if `old` cannot be resumed as `new`."""
    for key, (before, after) in changes(old, new).items():
        if not may_change_on_resume(key, old):
            why = f"it changes the {role(key).value}"
            if key == "train.epochs":
                values = flatten(to_dict(old))
                schedule, *_ = schedules_of_whole_run(values, _metadata())
                why = f"{schedule} = {values[schedule]!r} depends on it"
            elif identifies_run(key):
                why = "it identifies the run"
            raise UserError(
                f"{key} = {_plain(after)!r}: cannot change when a run is resumed, because {why} "
                f"(the run has {_plain(before)!r}); start a new run instead"
            )
