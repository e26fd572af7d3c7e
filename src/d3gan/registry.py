"""Choices that the configuration makes by name, with parameters written as a call.

``"softmax(temperature=0.5)"`` names the entry ``softmax`` and its parameter, and
``"package.module:Name(size=3)"`` a plugin, a class outside this package. The text is parsed with
the rules of `ast.literal_eval` and never evaluated.
"""

import ast
import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

from d3gan.errors import UserError

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])

PLUGIN = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)(\(.*\))?", re.DOTALL)
"""``module.path:Name`` or ``module.path:Name(parameter=value)``."""


def nearest(word: str, allowed: Collection[str]) -> str:
    """Return a hint for a mistyped word: ``" (did you mean 'x'?)"``, or "" if none is close."""
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


class Registry(Collection[str], Generic[T]):
    """Named classes of one kind, whose keyword parameters are their options.

    An entry is a class (or another callable that returns an object of the kind), or the text
    ``"module.path:Name"``, which is imported when the entry is first built. The names are known
    without any import. `interface` is a class, or the name of one, whose public attributes a plugin
    must have.
    """

    def __init__(
        self, kind: str, interface: type | str, lazy: Mapping[str, str] | None = None
    ) -> None:
        self.kind = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
        self._interface = interface
        self._entries: dict[str, Callable[..., T] | str] = dict(lazy or {})

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __getitem__(self, name: str) -> Callable[..., T]:
        entry = self._entries[name]
        if isinstance(entry, str):
            entry = self._entries[name] = _load(entry)
        return entry

    def register(self, name: str) -> Callable[[C], C]:
        """Return a decorator that registers a class under `name`."""

        def enter(entry: C) -> C:
            self._entries[name] = entry
            return entry

        return enter

    def check(self, text: str) -> None:
        """Check what can be checked without an import. Raises UserError, as `build` does.

        A lazy entry or a plugin is imported, and its parameters are checked, by `build` only.
        """
        name, _ = parse_call(text)
        if not is_plugin(name):
            self._require(name)
            if not isinstance(self._entries[name], str):
                self.build(text)

    def build(self, text: str, defaults: Mapping[str, Any] | None = None) -> T:
        """Return the object that `text` describes, for example ``"softmax(temperature=0.5)"``.

        `defaults` are values for those of its parameters that the text does not give. Raises
        UserError that names what is allowed.
        """
        name, parameters = parse_call(text)
        if not is_plugin(name):
            self._require(name)
        target = _load(name) if is_plugin(name) else self[name]
        known = _parameters(target) or {}
        parameters = {k: v for k, v in (defaults or {}).items() if k in known} | parameters
        built: T = _call(target, name, parameters)
        if is_plugin(name):
            self._check_interface(built, name)
        return built

    def describe(self) -> str:
        """Return the names, with the parameters of entries that need no import.

        For example ``"mean, softmax(temperature=1.0)"``.
        """
        return ", ".join(
            name if isinstance(entry, str) else _described(name, entry)
            for name, entry in self._entries.items()
        )

    def _require(self, name: str) -> None:
        if name not in self._entries:
            raise UserError(
                f"'{name}' is not {self.kind}{nearest(name, self)}; "
                f"allowed: {', '.join(self)}, or a plugin module.path:Name"
            )

    def _check_interface(self, built: object, name: str) -> None:
        interface: Any = self._interface
        if isinstance(interface, str):
            interface = _load(interface)
        defined = {key for base in interface.__mro__ for key in vars(base)}
        defined |= {key for base in interface.__mro__ for key in inspect.get_annotations(base)}
        needed = [key for key in sorted(defined) if not key.startswith("_") or key == "__call__"]
        if missing := [key for key in needed if not hasattr(built, key)]:
            raise UserError(
                f"{name} is not {self.kind}: it has no {', '.join(missing)} (see "
                f"{interface.__module__}.{interface.__name__})"
            )


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Split ``"name(key=literal, ...)"`` or ``"name"`` into the name and the parameters.

    The name of a plugin is ``"module.path:Name"``. Raises UserError for any other syntax.
    """
    text = text.strip()
    prefix = ""
    if plugin := PLUGIN.fullmatch(text):
        prefix = f"{plugin[1]}:"
    try:
        node = ast.parse(text.removeprefix(prefix), mode="eval").body
        if isinstance(node, ast.Name):
            return prefix + node.id, {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            keywords = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
            if len(keywords) == len(node.keywords):
                return prefix + node.func.id, keywords
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        pass
    raise UserError(f"cannot read {text!r}; write name or name(parameter=value)")


# Plugins


def is_plugin(text: str) -> bool:
    """Return whether `text` has the form ``module.path:Name`` or ``module.path:Name(...)``."""
    return PLUGIN.fullmatch(text.strip()) is not None


def build_plugin(text: str) -> Any:
    """Return the object that ``"module.path:Name(parameter=value)"`` describes.

    The module is imported from the working directory or the installed packages. Raises UserError
    that names the module and the class.
    """
    name, parameters = parse_call(text)
    return _call(_load(name), name, parameters)


def plugin_file(text: str) -> Path | None:
    """Return the source file of the module that a plugin comes from; None if it has none."""
    name, _ = parse_call(text)
    file = getattr(_import(name), "__file__", None)
    return Path(file).resolve() if file else None


def _load(name: str) -> Callable[..., Any]:
    """Return the class of ``"module.path:Name"``."""
    module_name, _, attribute = name.partition(":")
    module = _import(name)
    target = getattr(module, attribute, None)
    if target is None:
        names = [key for key in vars(module) if not key.startswith("_")]
        raise UserError(
            f"module '{module_name}' ({getattr(module, '__file__', 'built in')}) has no class "
            f"'{attribute}'{nearest(attribute, names)}"
        )
    if not callable(target):
        raise UserError(f"'{attribute}' of module '{module_name}' is not a class or a function")
    return target  # type: ignore[no-any-return]


def _import(name: str) -> Any:
    """Import the module of ``"module.path:Name"``, also from the working directory."""
    module_name, _, attribute = name.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)  # at the end, so that no file there hides an installed module
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except Exception as error:  # whatever a plugin raises is the plugin's mistake
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module_name}.".startswith(f"{missing}."):
            raise UserError(
                f"there is no module '{module_name}' (for '{attribute}'), neither in {folder} nor "
                "installed"
            ) from error
        raise UserError(
            f"cannot import '{module_name}' for '{attribute}': {type(error).__name__}: {error}"
        ) from error


KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    str: ((str,), "a string"),
}
"""Annotations of parameters that are checked: the types of allowed values, and their name."""


def _call(target: Callable[..., Any], name: str, parameters: Mapping[str, Any]) -> Any:
    """Call `target` by keyword. Raises UserError if a parameter or its value is wrong."""
    known = _parameters(target)
    hints = _hints(target)
    for key, value in parameters.items():
        if known is not None and key not in known:
            listed = f"its parameters: {', '.join(known)}" if known else "it has none"
            raise UserError(f"{name} has no parameter '{key}'{nearest(key, known)}; {listed}")
        allowed, word = KINDS.get(hints.get(key), ((object,), ""))
        if not isinstance(value, allowed) or (isinstance(value, bool) and int in allowed):
            raise UserError(f"{name}({key}={value!r}): {key} must be {word}")
    try:
        return target(**parameters)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    except Exception as error:
        if not is_plugin(name):
            raise
        raise UserError(f"cannot build {name}: {type(error).__name__}: {error}") from error


def _parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """Return the parameters of a callable; None if it accepts any, or if they are unknown."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return None
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return None if anything else parameters


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(target)
    except (NameError, TypeError, AttributeError):  # a plugin's annotations may name anything
        return {}


def _described(name: str, entry: Callable[..., Any]) -> str:
    """Return ``"softmax(temperature=1.0)"``: the name of an entry and its defaults."""
    parameters = (_parameters(entry) or {}).values()
    defaults = ", ".join(f"{parameter.name}={parameter.default!r}" for parameter in parameters)
    return f"{name}({defaults})" if defaults else name
