"""Convert flags to Python values with tyro, and report its errors in one line."""

import contextlib
import functools
import io
import sys
from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from d3gan.cli.help_texts import REGISTRY, HelpText, with_help_texts
from d3gan.cli.mistakes import one_line
from d3gan.config import keys, typed
from d3gan.config_aliases import ALIASES
from d3gan.errors import UserError
from d3gan.messages import FLAGS_OF_EVERY_COMMAND
from d3gan.registry import nearest


@dataclass(frozen=True)
class Subcommands:
    """What a command parses that has sub-commands."""

    names: tuple[str, ...]


class _Described(Exception):
    """Ends a command that only describes what it parses."""


_describes = ContextVar("_describes", default=False)


def described(command: Callable[[list[str]], int], arguments: Sequence[str]) -> Any:
    """Return the function or dataclass into which a command parses its arguments, without running
    it; its `Subcommands` if the arguments name none of them; None if it parses nothing."""
    token = _describes.set(True)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            command(list(arguments))
    except _Described as found:
        return found.args[0]
    finally:
        _describes.reset(token)
    return None


def subcommand(
    names: Collection[str],
    arguments: Sequence[str],
    command: str,
    *,
    usage: str = "",
    default: str = "",
) -> tuple[str, list[str]]:
    """Return the name of the sub-command and its arguments.

    Arguments without a name are those of `default`, if there is one; else `--help` prints `usage`
    and exits. Raises UserError for a name that is missing or unknown.
    """
    word, *rest = arguments or [""]
    if word in names:
        return word, rest
    if _describes.get():
        raise _Described(Subcommands(tuple(names)))
    if usage and word in ("-h", "--help"):
        print(usage)
        raise SystemExit(0)
    if default and (not word or word.startswith("-")):
        return default, list(arguments)
    wrong = f"there is no command '{command} {word}'{nearest(word, names)}; " if word else ""
    raise UserError(f"{wrong}write d3gan {command} {'|'.join(names)}")


def parse(
    target: Callable[..., Any],
    arguments: Sequence[str],
    command: str,
    default: Any = None,
    *,
    example: str = "",
    epilog: str = "",
) -> Any:
    """Call `target` (a function or a dataclass) with the values of the arguments.

    `default` is an instance of the dataclass that the arguments override. `--help` prints the help
    with the `epilog` below it, and exits. Raises UserError for wrong arguments, with the `example`
    if one is missing.
    """
    if _describes.get():
        raise _Described(target)
    settings = {} if default is None else {"default": default}

    def bound(*values: Any, **named: Any) -> Callable[[], Any]:
        return functools.partial(target, *values, **named)

    errors, printed = io.StringIO(), HelpText(sys.stdout)
    try:
        # Around the parsing, not the command.
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(printed):
            call = tyro.cli(
                target if default else with_help_texts(target, bound),
                args=list(arguments),
                prog=f"d3gan {command}",
                registry=REGISTRY,
                **settings,
            )
    except SystemExit as end:
        if end.code:
            flags = [f"--{key.replace('_', '-')}" for key in keys()] if default else []
            line = one_line(errors.getvalue(), flags)
            if example and line.startswith("missing argument"):
                line += f"; for example {example}"
            raise UserError(f"{line}; see d3gan {command} --help") from None
        print(printed.wrapped())
        if epilog:
            print(epilog)
        print(FLAGS_OF_EVERY_COMMAND)
        raise
    return call if default else call()


def config_flags(
    arguments: Sequence[str], wanted: Callable[[str], bool]
) -> tuple[list[str], dict[str, Any]]:
    """Split off flags of configuration keys, such as `--train.epochs 4` or `--data.no-flip`.

    Returns the other arguments, and the values of the dotted keys that are `wanted`. A key that is
    true or false may have that word as its value: `--data.flip false`. Raises UserError for a flag
    without a value and for an unknown key.
    """
    switches: dict[str, str] = {}
    for key in filter(wanted, (*keys(), *ALIASES)):
        if _is_switch(key):
            switches |= {key: f"--{key}=true", _negated(key): f"--{key}=false"}
    words = [switches.get(_dotted(word), word) for word in _without_truth(arguments)]
    words = _with_lists(words, [key for key in keys() if wanted(key) and typed(key, "") == []])
    rest, flags = split_flags(words, wanted)
    return rest, {key: typed(key, word) for key, word in flags.items()}


def split_flags(
    arguments: Sequence[str], wanted: Callable[[str], bool]
) -> tuple[list[str], dict[str, str]]:
    """Split off `--KEY VALUE` and `--KEY=VALUE` with the dotted keys that are `wanted`.

    Returns the other arguments, and the values by key. Raises UserError for a flag without a value.
    """
    rest, values = [], {}
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if not wanted(key := _dotted(flag)):
            rest.append(word)
            continue
        if not equals and (value := next(words, "")) == "":
            raise UserError(f"{word}: needs a value")
        values[key] = value
    return rest, values


def _with_lists(words: Sequence[str], lists: Collection[str]) -> list[str]:
    """Return the words with ``--gan.penalties=r1,r2`` for ``--gan.penalties r1 r2``.

    `lists` are the keys whose values are lists; the items are all words up to the next flag.
    """
    joined: list[str] = []
    items: list[str] | None = None
    for word in words:
        if _dotted(word) in lists:
            items = []
            joined.append(f"{word}=")
        elif items is None or word.startswith("-"):
            items = None
            joined.append(word)
        else:
            joined[-1] += f",{word}" if items else word
            items.append(word)
    return joined


def _without_truth(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--data.flip` for `--data.flip true`, and `--data.no-flip` for
    `--data.flip false`."""
    switches = {key for key in (*keys(), *ALIASES) if _is_switch(key)}
    words: list[str] = []
    for word in arguments:
        if word in ("true", "false") and words and _dotted(words[-1]) in switches:
            section, _, name = words.pop().rpartition(".")
            words.append(f"{section}.{'' if word == 'true' else 'no-'}{name}")
        else:
            words.append(word)
    return words


def _is_switch(key: str) -> bool:
    """Return whether a key of the configuration is true or false."""
    return typed(key, "true") is True


def _negated(key: str) -> str:
    """Return ``data.no_flip`` for ``data.flip``."""
    section, _, name = key.rpartition(".")
    return f"{section}.no_{name}"


def _dotted(flag: str) -> str:
    """Return the key of a flag: ``train.batch_size`` for ``--train.batch-size``; else ""."""
    return flag.removeprefix("--").replace("-", "_") if flag.startswith("--") else ""


def check_at_least_one(options: object, *names: str) -> None:
    """Raise UserError unless the named options are at least 1."""
    for name in names:
        if getattr(options, name) < 1:
            raise UserError(f"{name} = {getattr(options, name)}: must be at least 1")


def check_output(path: Path, suffixes: tuple[str, ...]) -> None:
    """Raise UserError unless `path` ends in one of the suffixes (in anything, if none is given)."""
    if not path.name or (suffixes and (path.suffix not in suffixes or path.is_dir())):
        kinds = f" that ends in {' or '.join(suffixes)}" if suffixes else ""
        raise UserError(f"output = '{path}': must be a name{kinds}")
