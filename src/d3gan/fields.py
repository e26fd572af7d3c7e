"""What a key of the configuration may be: limits beside its type, and how a value is checked."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from d3gan.errors import UserError
from d3gan.registry import Registry, nearest


@dataclass(frozen=True)
class Range:
    """Allowed numbers: low <= value <= high, or low < value where `above` is set."""

    low: float
    high: float
    above: bool = False

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.above else f"at least {self.low:g}"
        return f"{low} and at most {self.high:.12g}"

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high


@dataclass(frozen=True)
class OneOf:
    """Allowed values, listed."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Matching:
    """Allowed texts: those that match a pattern, which `meaning` puts into words."""

    pattern: str
    meaning: str


def checked(hint: Any, value: Any, name: str) -> Any:
    """`value` as the type of `hint`, in its range. Raises UserError."""
    if get_origin(hint) is Literal:
        hint = Annotated[type(get_args(hint)[0]), OneOf(get_args(hint))]
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple) or not all(type(item) is str for item in value):
            raise UserError(f"{name} = {value!r}: must be a list of texts")
        return tuple(value)
    kind, *limits = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        value = float(value)
    if type(value) is not kind:
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
        raise UserError(f"{name} = {value!r}: must be {words[kind]}")
    for limit in limits:
        if isinstance(limit, Range) and value not in limit:
            raise UserError(f"{name} = {value!r}: must be {limit}")
        if isinstance(limit, OneOf) and value not in limit.values:
            hint = nearest(str(value), [str(allowed) for allowed in limit.values])
            choices = ", ".join(str(allowed) for allowed in limit.values)
            raise UserError(f"{name} = {value!r}: allowed: {choices}{hint}")
        if isinstance(limit, Matching) and not re.fullmatch(limit.pattern, value):
            raise UserError(f"{name} = {value!r}: must be {limit.meaning}")
        if isinstance(limit, Registry):
            try:
                limit.build(value)
            except UserError as error:
                raise UserError(f"{name} = {value!r}: {error}") from error
    return value
