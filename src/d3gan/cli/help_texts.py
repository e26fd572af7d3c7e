"""Help texts of flags: as paragraphs, with a plain name for each value, without empty defaults.

tyro keeps the line breaks of docstrings, shows ``{None}|PATH`` for an optional path, and
``(default: '')`` for a text that is empty unless it is given.
"""

import dataclasses
import functools
import inspect
import io
import re
import shutil
import textwrap
import types
from collections.abc import Callable
from typing import Annotated, Any, TextIO, Union, get_args, get_origin, get_type_hints

import docstring_parser
import tyro
from typing_extensions import Doc
from tyro.constructors import (
    MISSING_NONPROP,
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

REGISTRY = ConstructorRegistry()
"""How tyro reads dataclasses: with the help texts of this module."""


@REGISTRY.struct_rule
def _dataclass(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Return the flags of a dataclass; None for other types, which tyro's own rules read."""
    if not dataclasses.is_dataclass(info.type):
        return None
    hints, docs = get_type_hints(info.type, include_extras=True), _docs(info.type)
    fields = tuple(
        StructFieldSpec(
            name=field.name,
            type=_described(hints[field.name], docs.get(field.name, "")),
            default=_default(field, info.default),
        )
        for field in dataclasses.fields(info.type)
    )
    return StructConstructorSpec(instantiate=info.type, fields=fields)


class HelpText(io.StringIO):
    """Collects what tyro prints, as if it were the stream `output`."""

    def __init__(self, output: TextIO) -> None:
        super().__init__()
        self._output = output

    def isatty(self) -> bool:
        """Return whether tyro may print colours."""
        return self._output.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the output, by which tyro chooses the characters of its boxes."""
        return (self._output.encoding or "").lower()  # a text in memory has none

    def wrapped(self) -> str:
        """Return the text with the description of the command in lines of at most 80 columns; tyro
        wraps what is in boxes only."""
        columns = min(80, shutil.get_terminal_size((80, 24)).columns)
        lines = self.getvalue().splitlines()
        # A longer line without spaces at its start or boxes is a paragraph of the description.
        return "\n".join(
            textwrap.fill(line, columns, break_on_hyphens=False) if line[:1].isalpha() else line
            for line in lines
        )


def with_help_texts(target: Callable[..., Any], result: Callable[..., Any]) -> Callable[..., Any]:
    """Return `result` with the parameters of `target` and their help texts."""
    functools.update_wrapper(result, target, updated=())
    hints, docs = get_type_hints(target, include_extras=True), _docs(target)
    hints = {name: _described(hint, docs.get(name, "")) for name, hint in hints.items()}
    signature = inspect.signature(target)
    parameters = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in signature.parameters.items()
    ]
    del result.__wrapped__  # type: ignore[attr-defined]  # tyro would read its annotations
    result.__annotations__ = hints
    result.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return result


def _described(hint: Any, text: str) -> Any:
    """Return the type of a flag with its help text, the form of its default, and its metavar."""
    base, *metadata = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if dataclasses.is_dataclass(base):
        return hint
    text = next((item.documentation for item in metadata if isinstance(item, Doc)), text)
    configured = tyro.conf.arg(
        help=_paragraphs(text) or None,
        help_behavior_hint=_default_hint,
        metavar=_metavar(base),
    )
    return Annotated[base, configured, *metadata]  # what the field itself says counts


def _metavar(base: Any) -> str | None:
    """Return the name of an optional value: ``PATH`` for ``Path | None``; None for other types."""
    if get_origin(base) not in (Union, types.UnionType):
        return None
    kinds = [kind for kind in get_args(base) if kind is not types.NoneType]
    return str(kinds[0].__name__).upper() if len(kinds) == 1 and inspect.isclass(kinds[0]) else None


def _default_hint(label: str) -> str:
    """Return the default after a help text; "" for a value that is empty unless it is given."""
    return "" if label in ("", "''", "None") else f"(default: {label})"


def _default(field: "dataclasses.Field[Any]", parent: Any) -> Any:
    """Return the default of a field: that of the instance `parent`, if there is one."""
    if isinstance(parent, type(None)) or not hasattr(parent, field.name):
        if field.default is not dataclasses.MISSING:
            return field.default
        factory = field.default_factory
        return factory() if factory is not dataclasses.MISSING else MISSING_NONPROP
    return getattr(parent, field.name)


@functools.cache
def _docs(target: Any) -> dict[str, str]:
    """Return the documentation of the parameters of a function, or of the fields of a class and
    the classes that it extends."""
    holders = reversed(target.__mro__[:-1]) if inspect.isclass(target) else (target,)
    params = (p for holder in holders for p in docstring_parser.parse_from_object(holder).params)
    return {param.arg_name: param.description or "" for param in params}


def _paragraphs(text: str) -> str:
    """Return a text without line breaks inside of paragraphs and items.

    An item is a line such as ``inception: the network of FID`` after the end of a sentence.
    """
    joined = re.sub(r"(?<!\.)\n[ \t]*(?=\S)|\n[ \t]*(?=\S)(?!\S+: )", " ", text.strip())
    return re.sub(r"\n[ \t]+", "\n", joined)
