"""Make the program's output fit what the terminal can show: its characters and its width."""

import codecs
import os
import shutil
import sys
import unicodedata
from typing import Final

LEAST_COLUMNS: Final = 40
"""Smallest width for which help and tables are laid out; a narrower terminal breaks their lines."""

PLAIN: Final = {
    "±": "+-", "\N{MULTIPLICATION SIGN}": "x", "\N{EN DASH}": "-", "\N{EM DASH}": "-",
    "≤": "<=", "≥": ">=", "→": "->", "•": "*", "█": "#",
    "│": "|", "─": "-", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "━": "-", "╸": "-", "╺": "-",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
}  # fmt: skip
"""ASCII text for characters that Unicode does not decompose into ASCII."""


def prepare_output() -> None:
    """Set up standard output and error so that no text and no width ends in a traceback.

    A character that the encoding of the stream lacks is written as similar ASCII text: "+-" for
    "±", "e" for "é", and "?" where there is nothing similar.
    """
    codecs.register_error("d3gan.plain", _replace)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's streams have other types
            stream.reconfigure(errors="d3gan.plain")
    _set_width()


def plain(character: str) -> str:
    """Return ASCII text similar to the character; "?" if there is none."""
    if character in PLAIN:
        return PLAIN[character]
    decomposed = unicodedata.normalize("NFKD", character)
    return decomposed.encode("ascii", "ignore").decode() or "?"


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(plain, error.object[error.start : error.end])), error.end


def _set_width() -> None:
    """Set COLUMNS, which sets the width of help and tables, if it is too small or no number."""
    wanted = os.environ.get("COLUMNS", "")
    if wanted and not (wanted.isdecimal() and int(wanted)):
        del os.environ["COLUMNS"]  # as if it were not set
    if shutil.get_terminal_size((80, 24)).columns < LEAST_COLUMNS:
        os.environ["COLUMNS"] = str(LEAST_COLUMNS)
