"""Choices that the configuration makes by name, with parameters written as a call.

``"softmax(temperature=0.5)"`` names the entry ``softmax`` and its parameter. The text is parsed
with the rules of `ast.literal_eval` and never evaluated.
"""

import ast
import dataclasses
import difflib
from collections.abc import Callable, Collection, Iterator
from typing import Any, Generic, TypeVar, get_type_hints

from d3gan.errors import UserError

T = TypeVar("T")
C = TypeVar("C", bound=type)


def nearest(word: str, allowed: list[str]) -> str:
    """A hint for a mistyped `word`: ``" (did you mean 'x'?)"``, or nothing if none is close."""
    close = difflib.get_close_matches(word, allowed, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


class Registry(Collection[str], Generic[T]):
    """Named classes of one kind, each a dataclass whose fields are its parameters."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, type[T]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __getitem__(self, name: str) -> type[T]:
        return self._entries[name]

    def register(self, name: str) -> Callable[[C], C]:
        """Class decorator that enters a class under `name`."""

        def enter(entry: C) -> C:
            self._entries[name] = entry
            return entry

        return enter

    def build(self, text: str) -> T:
        """The object that `text` names, for example ``"softmax(temperature=0.5)"``.

        Raises UserError naming what is allowed.
        """
        name, parameters = parse_call(text)
        if name not in self._entries:
            allowed = list(self._entries)
            raise UserError(
                f"'{name}' is no {self.kind}{nearest(name, allowed)}; allowed: {', '.join(allowed)}"
            )
        entry = self._entries[name]
        hints = get_type_hints(entry)
        fields = [field.name for field in dataclasses.fields(entry)]  # type: ignore[arg-type]
        for key, value in parameters.items():
            if key not in fields:
                known = f"its parameters: {', '.join(fields)}" if fields else "it has none"
                raise UserError(f"{name} has no parameter '{key}'{nearest(key, fields)}; {known}")
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if hints[key] is float and not number:
                raise UserError(f"{name}({key}={value!r}): {key} must be a number")
        try:
            return entry(**parameters)
        except ValueError as error:
            raise UserError(f"{name}: {error}") from error


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Split ``"name(key=literal, ...)"`` or ``"name"`` into the name and its parameters."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            keywords = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
            if len(keywords) == len(node.keywords):
                return node.func.id, keywords
    except (SyntaxError, ValueError):
        pass
    raise UserError(f"cannot read {text!r}; write name or name(parameter=value)")
