"""Where configurations come from: presets, TOML files, runs, and the succeeded project's
config.ini."""

import configparser
import dataclasses
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from d3gan.config import Config, from_dict
from d3gan.errors import UserError
from d3gan.registry import nearest
from d3gan.runs import RunFolder


def presets() -> list[str]:
    """Names of the presets that the package carries."""
    folder = resources.files("d3gan") / "presets"
    files = [file.name for file in folder.iterdir()]
    return sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml"))


def load_preset(name: str) -> Config:
    """The preset `name`. Raises UserError naming the nearest one."""
    if name not in presets():
        hint, known = nearest(name, presets()), ", ".join(presets())
        raise UserError(f"there is no preset '{name}'{hint}; presets: {known}")
    text = (resources.files("d3gan") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return from_toml(text, name, f"preset {name}")


def load_file(path: Path) -> Config:
    """A .toml file, or a config.ini of the succeeded project. Raises UserError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if path.suffix == ".ini":
        return from_ini(text, path.stem, str(path))
    name = path.parent.name if path.name == "config.toml" else path.stem
    return from_toml(text, name, str(path))


def from_toml(text: str, name: str, origin: str) -> Config:
    """A config from TOML text; `base = "PRESET"` in it starts from a preset.

    `name` is the run's name if the text gives none; `origin` stands before error messages.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{origin}: not valid TOML: {error}") from error
    base = values.pop("base", None)
    if not isinstance(base, str | None):
        raise UserError(f"{origin}: base = {base!r}: must be the name of a preset")
    config = from_dict(values, load_preset(base) if base else None, origin)
    return config if values.get("name") else dataclasses.replace(config, name=name)


def starting_point(word: str) -> tuple[Config, bool]:
    """The config that `word` names, and whether it is a run to go on with. Raises UserError."""
    path = Path(word)
    run = RunFolder(path)
    if run.exists():
        config = load_file(run.config_file)
        # The folder may have been moved or renamed since, or be named by a link or as ".".
        real = path.resolve()
        plain = path.name == real.name and path.parent.resolve() == real.parent
        out_dir = path.parent if plain else real.parent
        return dataclasses.replace(config, name=real.name, out_dir=str(out_dir)), True
    if path.suffix in (".toml", ".ini"):
        return load_file(path), False
    if word not in presets():
        if path.is_dir():
            run.require()
        if len(path.parts) > 1:
            raise UserError(f"there is no run at {word}, nor such a file")
    return load_preset(word), False


# config.ini

_INI_KEYS = {
    "batch_size": ("train.batch_size", int),
    "nz": ("model.latent_dim", int),
    "ngf": ("model.generator_width", int),
    "ndf": ("model.discriminator_width", int),
    "nc": ("data.channels", int),
    "beta1": ("optim.beta1", float),
    "beta2": ("optim.beta2", float),
    "workers": ("data.workers", int),
    "epochs": ("train.epochs", float),
}
_INI_TYPES: dict[str, dict[str, dict[str, Any]]] = {
    "dcgan": {"gan": {"discriminators": 1}},
    "d3gan": {"gan": {"discriminators": 2, "aggregation": "original"}},
    "mnist": {"data": {"source": "mnist"}},
    "cifar10": {"data": {"source": "cifar10"}},
    "cifar100": {"data": {"source": "cifar100"}},
    "svhn": {"data": {"source": "svhn"}},
}


def from_ini(text: str, name: str, origin: str) -> Config:
    """A config.ini of the succeeded project; sections do not matter, unknown keys are errors.

    `lr` sets both learning rates; `type` names the method (dcgan, d3gan) or the data set.
    """
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#", ";"))
    try:
        parser.read_string(text if text.lstrip().startswith("[") else f"[config]\n{text}")
    except configparser.Error as error:
        raise UserError(f"{origin}: not a valid ini file: {error}") from error
    entries = dict(parser.defaults())
    for section in parser.sections():
        entries |= dict(parser[section])
    values: dict[str, Any] = {}

    def put(dotted: str, value: Any) -> None:
        section, key = dotted.split(".")
        values.setdefault(section, {})[key] = value

    for key, entry in entries.items():
        if key == "type":
            if entry.lower() not in _INI_TYPES:
                raise UserError(f"{origin}: type = {entry!r}: allowed: {', '.join(_INI_TYPES)}")
            for section, settings in _INI_TYPES[entry.lower()].items():
                values.setdefault(section, {}).update(settings)
            continue
        targets = (
            [("optim.lr_g", float), ("optim.lr_d", float)]
            if key == "lr"
            else [_INI_KEYS[key]]
            if key in _INI_KEYS
            else []
        )
        if not targets:
            known = ["type", "lr", *_INI_KEYS]
            raise UserError(
                f"{origin}: unknown key {key} = {entry!r}{nearest(key, known)}"
                f"; allowed: {', '.join(known)}"
            )
        for dotted, convert in targets:
            try:
                put(dotted, convert(entry))
            except ValueError:
                word = "a whole number" if convert is int else "a number"
                raise UserError(f"{origin}: {key} = {entry!r}: must be {word}") from None
    return dataclasses.replace(from_dict(values, origin=origin), name=name)
