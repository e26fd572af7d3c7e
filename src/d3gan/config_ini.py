"""Read the config.ini of the succeeded project."""

import configparser
import dataclasses
from typing import Any

from d3gan.config import Config, from_dict, nested
from d3gan.errors import UserError
from d3gan.registry import nearest

KEYS: dict[str, tuple[type, tuple[str, ...]]] = {
    "batch_size": (int, ("train.batch_size",)),
    "nz": (int, ("model.latent_dim",)),
    "ngf": (int, ("model.generator_width",)),
    "ndf": (int, ("model.discriminator_width",)),
    "nc": (int, ("data.channels",)),
    "lr": (float, ("optim.lr_g", "optim.lr_d")),
    "beta1": (float, ("optim.beta1",)),
    "beta2": (float, ("optim.beta2",)),
    "workers": (int, ("data.workers",)),
    "epochs": (float, ("train.epochs",)),
}
"""The type of each key, and the keys of the config that it sets."""

TYPES: dict[str, dict[str, Any]] = {
    "dcgan": {"gan.discriminators": 1},
    "d3gan": {"gan.discriminators": 2, "gan.aggregation": "original"},
    "mnist": {"data.source": "mnist"},
    "cifar10": {"data.source": "cifar10"},
    "cifar100": {"data.source": "cifar100"},
    "svhn": {"data.source": "svhn"},
}
"""Values of the key `type`, a method or a data set, and what they set."""


def from_ini(text: str, name: str, origin: str) -> Config:
    """Return the config of an ini text. Sections do not matter; unknown keys are errors.

    `name` is the run's name; `origin` precedes error messages. Raises UserError.
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
    for key, entry in entries.items():
        values |= _converted(key, entry, origin)
    return dataclasses.replace(from_dict(nested(values), origin=origin), name=name)


def _converted(key: str, entry: str, origin: str) -> dict[str, Any]:
    """Return the dotted keys of the config, and their values, that one entry sets."""
    if key == "type":
        if entry.lower() not in TYPES:
            raise UserError(f"{origin}: type = {entry!r}: allowed: {', '.join(TYPES)}")
        return TYPES[entry.lower()]
    if key not in KEYS:
        known = ["type", *KEYS]
        raise UserError(
            f"{origin}: unknown key {key} = {entry!r}{nearest(key, known)}"
            f"; allowed: {', '.join(known)}"
        )
    kind, targets = KEYS[key]
    try:
        return dict.fromkeys(targets, kind(entry))
    except ValueError:
        word = "an integer" if kind is int else "a number"
        raise UserError(f"{origin}: {key} = {entry!r}: must be {word}") from None
