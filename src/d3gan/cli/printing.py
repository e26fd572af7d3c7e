"""Print tables and JSON."""

import json
import textwrap
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from d3gan.errors import UserError
from d3gan.files import write_text, writing
from d3gan.messages import note

STANDARD_OUTPUT = "-"
COLUMNS = 80
"""Width of printed text."""


def make_table(*headings: str, **options: Any) -> Table:
    """Return a table with its first column to the left and the others to the right."""
    table = Table(headings[0], box=None, **options)
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    return table


def print_table(table: Table) -> None:
    """Print a table with `print`, without trailing spaces.

    If the reader closes the output, `print` raises BrokenPipeError, where rich exits with status 1.
    """
    console = Console()
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().splitlines()
    print("\n".join(line.rstrip() for line in lines))


def in_lines(text: str, indent: str = "") -> str:
    """Return text in lines of at most 80 columns; lines after the first begin with `indent`."""
    unit = "\N{NO-BREAK SPACE}%"  # a number stays with its sign
    lines = textwrap.fill(
        text.replace(" %", unit),
        COLUMNS,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace(unit, " %")


def check_json(where: str) -> None:
    """Raise UserError, before long work, if `write_json` cannot write to the file `where`."""
    folder = Path(where).parent
    if where not in ("", STANDARD_OUTPUT) and (not folder.is_dir() or Path(where).is_dir()):
        raise UserError(f"cannot write JSON to {where}: must be a file in a folder that exists")
    if where not in ("", STANDARD_OUTPUT) and Path(where).is_file():
        with Path(where).open("rb") as file:
            start = file.read(1024).lstrip()
        if start and start[:1] not in (b"{", b"["):
            raise UserError(
                f"cannot write JSON to {where}: the file exists and holds something else; choose "
                "another name, or move it away"
            )


def write_json(value: Any, where: str) -> None:
    """Write strict JSON to the file `where`, to standard output for "-", or nowhere for ""."""
    text = json.dumps(value, indent=2, allow_nan=False)
    if where == STANDARD_OUTPUT:
        print(text)
    elif where:
        file = Path(where).resolve()  # keeps a symbolic link
        with writing(file):
            if file.exists() and not file.is_file():  # a device or a pipe cannot be replaced
                file.write_text(text + "\n", encoding="utf-8")
            else:
                write_text(file, text + "\n")


def print_progress(line: str) -> None:
    """Print the progress of a benchmark to stderr."""
    note(line)
