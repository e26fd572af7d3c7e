"""Messages of tyro about wrong arguments, in one line of plain words."""

import difflib
import itertools
import re
from collections.abc import Iterable
from typing import Final

PLAIN: Final = (
    (r"Error parsing (\S+): invalid literal for int\(\).*: '(.*)'", r"\1 \2: must be an integer"),
    (r"Error parsing (\S+): could not convert string to float: '(.*)'", r"\1 \2: must be a number"),
    (r"Error parsing (\S+): no type matching .* from \['(.*?)'\].*int.*",
     r"\1 \2: must be an integer"),
    (r"Error parsing (\S+): no type matching .* from \['(.*?)'\].*", r"\1 \2: must be a number"),
    (r"Error parsing (\S+): Could not find valid parse for arguments: \[(.*)\]",
     r"\1 \2: one of these values is not allowed"),
    (r"invalid choice '(.*)' for argument '(\S+)'\. Expected one of \((.*?),?\)",
     r"\2 \1: must be one of \3"),
    (r"Missing value for argument '(\S+)'.*", r"\1: needs a value"),
    (r"Missing from d3gan [\w ]+: (.*)", r"missing argument: \1"),
    (r"Unrecognized options: (--?\w[^\s,=]*).*", r"unknown flag \1"),
    (r"Unrecognized options: ([^,]*).*", r"unexpected argument '\1'"),
)  # fmt: skip
"""Patterns of tyro's messages, and what is printed in place of them."""


def one_line(panel: str, flags: Iterable[str] = ()) -> str:
    """Return tyro's message in plain words, and the flag that was probably meant.

    `panel` is tyro's text with the box around it; `flags` are flags to guess from besides those
    that tyro proposes.
    """
    message, proposals = _parts(panel)
    for pattern, plain in PLAIN:
        if re.fullmatch(pattern, message, re.DOTALL):
            message = re.sub(pattern, plain, message, flags=re.DOTALL)
            break
    if unknown := re.fullmatch(r"unknown flag (\S+)", message):
        guess = _nearest(unknown[1], [*re.findall(r"--[\w.-]+", proposals), *flags])
        message += f" (did you mean {guess}?)" if guess else ""
    return message


def _nearest(flag: str, flags: Iterable[str]) -> str:
    """Return the flag that resembles a mistyped one; with its last part, if that is all it has."""
    known = list(dict.fromkeys(flags))
    same_end = [one for one in known if one.endswith(f".{flag.removeprefix('--')}")]
    return next(iter([*same_end, *difflib.get_close_matches(flag, known, n=1, cutoff=0.5)]), "")


def _parts(panel: str) -> tuple[str, str]:
    """Return tyro's message and its proposals, without the box around them."""
    boxed = [line.strip("│").rstrip() for line in panel.splitlines() if line.startswith("│")]
    lines = boxed or [line.rstrip() for line in panel.splitlines()]
    parts = [
        _without_help(list(group))
        for rule, group in itertools.groupby(
            lines, key=lambda line: line.lstrip().startswith(("───", "---"))
        )
        if not rule
    ]
    # Without box characters, tyro prints the title before the first rule.
    first = 0 if boxed or len(parts) < 2 else 1
    proposals = [part for part in parts[first + 1 :] if part.startswith("Perhaps you meant")]
    return parts[first].rstrip("."), " ".join(proposals)


def _without_help(lines: list[str]) -> str:
    """Join the lines, without the help texts, which are indented by 8 below their flags."""
    indents = [len(line) - len(line.lstrip()) for line in lines]
    return " ".join(
        line.strip() for line, indent in zip(lines, indents, strict=True) if indent < indents[0] + 8
    )
