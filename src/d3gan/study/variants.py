"""The methods of a study file, each with every combination of the varied values."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from d3gan import config as configs
from d3gan import config_files
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.registry import nearest
from d3gan.study.question_keys import check_seeds
from d3gan.text_files import read_text, read_toml

_OF_METHOD = ("base", "seeds")
"""Keys of a method's table that are not keys of the configuration."""
PRESETS = "`d3gan presets` lists the presets"
WIDTH_MULTIPLE = 8
"""Widths of a scaled study are multiples of this, which group norm and fast kernels need."""


@dataclass(frozen=True)
class Variant:
    """A method with one combination of the varied values."""

    base: str
    """Name of the method in the study file."""
    name: str
    config: Config
    seeds: tuple[int, ...] = ()
    """Seeds of the method alone; empty: those of the study."""


def make_variants(values: Mapping[str, Any], scale: float, where: str) -> list[Variant]:
    """Return every method with every combination of the varied values."""
    changes = configs.nested(section(values.get("set", {}), f"{where}set"))
    return [
        Variant(base, base + label, scaled(varied, scale), seeds)
        for base, config, seeds in _methods(values.get("methods"), where)
        for label, varied in _varied(
            configs.from_dict(changes, config, f"{where}set"), values.get("vary", {}), where
        )
    ]


def tuned(methods: Sequence[Variant], file: str, where: str) -> list[Variant]:
    """Return the methods with the values that `d3gan tune` wrote to `file`, if one is named.

    Raises UserError if the file is missing, or has a table of another method.
    """
    if not file:
        return list(methods)
    if not Path(file).is_file():
        raise UserError(
            f"{where}tuned = {file!r}: there is no such file; 'd3gan tune' of the study writes it"
        )
    tables = read_toml(read_text(Path(file), "tuned"), file)
    names = [method.name for method in methods]
    for name in tables:
        if name not in names:
            raise UserError(
                f"{file}: [{name}] is not a method of the study{nearest(name, names)}; methods: "
                f"{', '.join(names)}"
            )
    return [
        replace(method, config=_changed(method.config, tables[method.name], file))
        if method.name in tables
        else method
        for method in methods
    ]


def _changed(config: Config, table: Any, where: str) -> Config:
    return configs.from_dict(configs.nested(section(table, where)), config, where)


def _methods(methods: Any, where: str) -> Iterator[tuple[str, Config, tuple[int, ...]]]:
    """Yield the name, the configuration and the own seeds of each method."""
    example = 'methods = ["mnist-dcgan", "mnist-d3gan"]'
    if not methods:
        raise UserError(
            f"{where}name the methods to compare: {example} in a study file, or --methods "
            f"mnist-dcgan mnist-d3gan; {PRESETS}"
        )
    if isinstance(methods, Mapping):
        for name, values in methods.items():
            origin = f"{where}methods.{name}"
            if not isinstance(values, Mapping):
                raise UserError(f"{origin} = {values!r}: must be a table of keys")
            base = values.get("base", name if name in config_files.presets() else "")
            if not isinstance(base, str) or not base:
                raise UserError(f"{origin}: needs base = PRESET; {PRESETS}")
            start, _ = config_files.starting_point(base)
            rest = section({k: v for k, v in values.items() if k not in _OF_METHOD}, origin)
            seeds = check_seeds(values.get("seeds", ()), f"{origin}.seeds")
            yield name, configs.from_dict(configs.nested(rest), start, origin), seeds
    elif isinstance(methods, list | tuple) and all(isinstance(word, str) for word in methods):
        for word in methods:
            config, _ = config_files.starting_point(word)
            yield config.name, config, ()
    else:
        raise UserError(f"{where}methods = {methods!r}: must be a list, as {example}")


def section(values: Any, where: str) -> dict[str, Any]:
    """Return dotted keys of the configuration with their values. Raises UserError for a key that
    the study sets for each run."""
    if not isinstance(values, Mapping):
        raise UserError(f"{where} = {values!r}: must be a table of keys")
    flat = configs.flatten(values)
    for key in flat:
        if configs.identifies_run(key):
            raise UserError(
                f"{where}: {key} = {flat[key]!r}: the study sets it for each run, by its own keys "
                "name, seeds and out_dir"
            )
    return flat


def _varied(config: Config, vary: Any, where: str) -> Iterator[tuple[str, Config]]:
    """Yield every combination of the varied keys, with its suffix of the method's name."""
    choices = section(vary, f"{where}vary")
    for key, options in choices.items():
        if not isinstance(options, list | tuple) or not options:
            raise UserError(f"{where}vary: {key} = {options!r}: must be a list of values")
    last = [key.rpartition(".")[2] for key in choices]
    pairs = zip(choices, last, strict=True)
    short = {key: word if last.count(word) == 1 else key for key, word in pairs}
    for values in itertools.product(*choices.values()):
        chosen = dict(zip(choices, values, strict=True))
        label = "".join(f"-{short[key]}-{_word(value)}" for key, value in chosen.items())
        yield label, configs.from_dict(configs.nested(chosen), config, f"{where}vary")


def _word(value: Any) -> str:
    """Return a value as part of a file name."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"[^\w.]+", "-", text).strip("-") or "none"


def scaled(config: Config, scale: float) -> Config:
    """Return the configuration with epochs, widths and all cadences multiplied by `scale`.

    The number of evaluations stays the same, and at least one step is made. Widths are rounded to
    multiples of 8, and do not fall below 8; those that are not multiples of 8 (in the controls with
    twice the parameters) are rounded to integers.
    """
    if scale == 1:
        return config

    def epochs(value: float) -> float:
        return value and max(1e-6, float(f"{value * scale:.9g}"))  # 0.3, not 0.30000000000000004

    def width(value: int) -> int:
        unit = 1 if value % WIDTH_MULTIPLE else WIDTH_MULTIPLE
        return min(value, max(WIDTH_MULTIPLE, unit * round(value * scale / unit)))

    flat = configs.flatten(configs.to_dict(config))
    changes = {key: epochs(value) for key, value in flat.items() if key.endswith("epochs")}
    changes |= {key: width(value) for key, value in flat.items() if key.endswith("_width")}
    return configs.from_dict(configs.nested(changes), config)
