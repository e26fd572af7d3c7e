"""Metadata of the configuration's fields: allowed values and role, beside the type."""

import enum
import re
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from d3gan.errors import UserError
from d3gan.registry import Registry, is_plugin, nearest


class Role(enum.Enum):
    """What a field changes."""

    RESULT = "result"
    """What is learned, or which numbers describe it."""
    SCHEDULE = "schedule"
    """When something is saved or measured."""
    MACHINE = "machine"
    """How and where it is computed and stored."""


@dataclass(frozen=True)
class Range:
    """Allowed numbers: low <= value <= high, or low < value if `above` is set."""

    low: float
    high: float
    above: bool = False

    def __str__(self) -> str:
        low = f"above {_digits(self.low)}" if self.above else f"at least {_digits(self.low)}"
        return f"{low} and at most {_digits(self.high)}"

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high


def _digits(number: float) -> str:
    """Return a number without an exponent, such as ``1,000,000`` or ``0.000001``."""
    return f"{int(number):,}" if number == int(number) else f"{number:.9f}".rstrip("0")


@dataclass(frozen=True)
class Location:
    """The text is, or holds, a path, which a file names relative to itself (`config_paths`)."""

    prefix: str = ""
    """What precedes the path."""
    names: frozenset[str] = frozenset()
    """Texts that are never paths."""
    may_be_name: bool = False
    """Whether other texts may be names too: what does not exist as a path is one."""

    def relative_path(self, value: str) -> str | None:
        """Return the relative path that the value holds; None if it holds none."""
        path = value.removeprefix(self.prefix)
        if not value.startswith(self.prefix) or not path or path in self.names:
            return None
        elsewhere = path.startswith(("~", "hf://")) or Path(path).is_absolute()
        return None if elsewhere else path

    @staticmethod
    def is_written_as_path(text: str) -> bool:
        """Return whether a text can be nothing but a path."""
        return text.startswith(("./", "../", ".\\", "..\\")) or text.endswith((".npy", ".npz"))


@dataclass(frozen=True)
class SameImages:
    """The value may change on resume as long as it names the same images, by their digest."""


@dataclass(frozen=True)
class OneOf:
    """Allowed values, listed."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Scales:
    """Keys whose values a schedule multiplies."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class Matching:
    """Allowed texts: those that match a pattern, and plugins if `no_plugin` is given."""

    pattern: str
    meaning: str
    """Description of the allowed texts, for error messages."""
    no_plugin: str | None = None
    """Pattern of texts that look like a plugin and are none."""

    def __contains__(self, value: str) -> bool:
        return bool(re.fullmatch(self.pattern, value)) or self.is_plugin(value)

    def is_plugin(self, value: str) -> bool:
        """Return whether the value names a plugin, and not a file of that name."""
        reserved = self.no_plugin is None or re.fullmatch(self.no_plugin, value)
        return not reserved and is_plugin(value) and not Path(value).exists()


def checked(hint: Any, value: Any, name: str) -> Any:
    """Return `value` as the type of the annotation `hint`. Raises UserError if it is not allowed.

    The limits of a tuple's annotation apply to each item. Neither lazy entries of registries nor
    plugins are imported.
    """
    metadata: list[Any] = []
    if get_origin(hint) is Annotated:
        hint, *metadata = get_args(hint)
    if get_origin(hint) is Literal:
        metadata.append(OneOf(get_args(hint)))
        hint = type(get_args(hint)[0])
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple) or not all(type(item) is str for item in value):
            raise UserError(f"{name} = {value!r}: must be a list of strings")
        for item in value:
            _check_limits(metadata, item, f"{name} = {list(value)}")
        return tuple(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and number:
        value = float(value)
    if type(value) is not hint:
        words = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
        raise UserError(f"{name} = {value!r}: must be {words[hint]}")
    _check_limits(metadata, value, f"{name} = {value!r}")
    return value


def check_draw(count: int, seed: int) -> None:
    """Raise UserError if the number of images or the seed is no integer or out of range."""
    for name, value in (("count", count), ("seed", seed)):
        if not isinstance(value, Integral):
            raise UserError(f"{name} = {value!r}: must be an integer")
    if not 1 <= count <= 10**7:
        raise UserError(f"count = {count}: must be at least 1 and at most 10,000,000")
    if not 0 <= seed < 2**63:
        raise UserError(f"seed = {seed}: must be at least 0 and below 2^63")


def _check_limits(limits: list[Any], value: Any, where: str) -> None:
    for limit in limits:
        if isinstance(limit, Range) and value not in limit:
            raise UserError(f"{where}: must be {limit}")
        if isinstance(limit, OneOf) and value not in limit.values:
            choices = [str(allowed) for allowed in limit.values]
            raise UserError(f"{where}: allowed: {', '.join(choices)}{nearest(str(value), choices)}")
        if isinstance(limit, Matching) and value not in limit:
            raise UserError(f"{where}: must be {limit.meaning}")
        if isinstance(limit, Registry):
            try:
                limit.check(value)
            except UserError as error:
                once, twice = f"= {value!r} is ", f"= {value!r}: {value!r} is "
                raise UserError(f"{where}: {error}".replace(twice, once, 1)) from error
