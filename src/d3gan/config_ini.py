"""Read the config.ini of the succeeded project (docs/config-ini.md)."""

import configparser
import dataclasses
from pathlib import Path
from typing import Any, Final

from d3gan.config import Config, from_dict, nested
from d3gan.errors import UserError
from d3gan.registry import nearest

SECTION: Final = "parameters"
"""The only section of the file; its line may be missing."""

KEYS: Final[dict[str, tuple[type, tuple[str, ...]]]] = {
    "batch_size": (int, ("train.batch_size",)),
    "nz": (int, ("model.latent_dim",)),
    "ngf": (int, ("model.generator_width",)),
    "ndf": (int, ("model.discriminator_width",)),
    "nc": (int, ("data.channels",)),
    "lr": (float, ("optim.lr_g", "optim.lr_d")),
    "beta1": (float, ("optim.beta1",)),
    "beta2": (float, ("optim.beta2",)),
    "checkpoint": (int, ("checkpoint.every_epochs",)),
    "workers": (int, ("data.workers",)),
    "epochs": (float, ("train.epochs",)),
}
"""The type of each key but `type`, and the keys of the config that it sets."""

DATA: Final = {
    "mnist": ("mnist", 60_000),
    "cifar10": ("cifar10", 50_000),
    "cifar100": ("cifar100", 50_000),
    "svhn": ("svhn", 73_257),
    "stl": ("stl10", 5_000),
}
"""Values of `type` that name data: the data source, and the number of its images."""

METHODS: Final = {"dcgan": 1, "d3gan": 2}
"""Number of discriminators of each method of the succeeded project, by its folder's name, which
is also a value of `type`."""

NAMES: Final = {1: "DCGAN (1 discriminator)", 2: "D3GAN (2 discriminators)"}


def from_ini(text: str, path: Path) -> Config:
    """Return the config of a config.ini with this text.

    The file has no key for the method: it is that of the folder DCGAN or D3GAN in which the file
    lies, otherwise DCGAN. Raises UserError for an unknown section, key or value.
    """
    entries = _entries(text, path)
    values = {key: value for name, word in entries.items() for key, value in _set(name, word, path)}
    kind = entries.get("type", "").lower()
    method = _method(kind, path)
    values["gan.discriminators"] = method or 1
    if "checkpoint.every_epochs" in values:
        _, images = DATA.get(kind, ("", 5_000))
        batch_size = values.get("train.batch_size", Config().train.batch_size)
        values["checkpoint.every_epochs"] *= batch_size / images
    config = from_dict(nested(values), origin=str(path))
    return dataclasses.replace(config, name=_name(kind, method, path))


def _name(kind: str, method: int | None, path: Path) -> str:
    """Return the name of the run: that of the file, or ``mnist-d3gan`` for a config.ini."""
    if path.stem != "config":
        return path.stem
    methods = [name for name, count in METHODS.items() if count == method]
    return "-".join(filter(None, [kind if kind in DATA else "", *methods])) or path.stem


def method_note(config: Config, path: Path) -> str:
    """Return a line that says which method a run of the config.ini at `path` trains, and why."""
    entries = _entries(path.read_text(encoding="utf-8"), path)
    kind, count = entries.get("type", ""), config.gan.discriminators
    name = NAMES.get(count, f"a GAN with {count} discriminators")
    other = "--gan.discriminators 2 for D3GAN" if count != 2 else "--gan.discriminators 1 for DCGAN"
    if count == _method(kind, path):
        why = f"type = {kind}" if kind.lower() in METHODS else "the name of its folder"
        return f"{path}: {name} is trained, because of {why}; {other}"
    why = f"type = {kind} says nothing" if kind else "says nothing"
    return f"{path}: {why} about the method; {name} is trained; {other}"


def _method(kind: str, path: Path) -> int | None:
    """Return the number of discriminators of the method that the file or its folder names."""
    folder = path.resolve().parent.name.lower()
    return METHODS.get(kind.lower(), METHODS.get(folder))


def _entries(text: str, path: Path) -> dict[str, str]:
    """Return the keys and values of the file's section. Raises UserError."""
    parser = configparser.ConfigParser(
        interpolation=None, inline_comment_prefixes=("#", ";"), default_section=""
    )
    text = text.removeprefix("\ufeff")
    if not any(line.lstrip().startswith("[") for line in text.splitlines()):
        text = f"[{SECTION}]\n{text}"
    try:
        parser.read_string(text, source=path.name)
    except configparser.Error as error:
        why = " ".join(str(error).split())
        raise UserError(f"{path}: not a valid ini file: {why}") from error
    for section in parser.sections():
        if section != SECTION:
            hint = nearest(section, [SECTION])
            raise UserError(f"{path}: unknown section [{section}]{hint}; allowed: [{SECTION}]")
    return dict(parser[SECTION])


def _set(key: str, word: str, path: Path) -> list[tuple[str, Any]]:
    """Return the dotted keys of the config, and their values, that one entry sets."""
    if key == "type":
        if word.lower() in METHODS:
            return []
        if word.lower() not in DATA:
            allowed = [*DATA, *METHODS]
            raise UserError(
                f"{path}: type = {word!r}{nearest(word.lower(), allowed)}; allowed: "
                f"{', '.join(allowed)}; other data: --data.source of a preset or .toml file"
            )
        return [("data.source", DATA[word.lower()][0])]
    if key not in KEYS:
        known = ["type", *KEYS]
        raise UserError(
            f"{path}: unknown key {key} = {word!r}{nearest(key, known)}"
            f"; allowed: {', '.join(known)}"
        )
    kind, targets = KEYS[key]
    try:
        value = kind(word)
    except ValueError:
        wanted = "an integer" if kind is int else "a number"
        raise UserError(f"{path}: {key} = {word!r}: must be {wanted}") from None
    if key == "checkpoint" and value < 1:
        raise UserError(f"{path}: checkpoint = {word!r}: must be at least 1")
    return [(target, value) for target in targets]
