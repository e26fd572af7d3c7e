"""Lines on stderr beside a command's results: notes, details and warnings.

`--quiet` hides all of them, and `--verbose` shows the details too. Errors are always printed.
"""

import enum
import sys


class Verbosity(enum.Enum):
    """How much is printed to stderr; the value is the flag of the command line."""

    QUIET = "--quiet"
    """Errors, and the line that ends a run."""
    NORMAL = ""
    VERBOSE = "--verbose"
    """Also what a run measures and how it computes."""


_FLAGS = {
    "-q": Verbosity.QUIET,
    "--quiet": Verbosity.QUIET,
    "-v": Verbosity.VERBOSE,
    "--verbose": Verbosity.VERBOSE,
}

FLAGS_OF_EVERY_COMMAND = """\
Every command takes -q, --quiet (only errors and results) and -v, --verbose
(also each evaluation and chosen kernel)."""
"""Part of the help texts."""

_chosen = [Verbosity.NORMAL]


def set_verbosity(verbosity: Verbosity) -> None:
    """Choose how much this process prints from now on."""
    _chosen[0] = verbosity


def is_quiet() -> bool:
    """Return whether neither notes nor progress are shown."""
    return _chosen[0] is Verbosity.QUIET


def is_verbose() -> bool:
    """Return whether details are shown."""
    return _chosen[0] is Verbosity.VERBOSE


def with_verbosity(arguments: list[str]) -> list[str]:
    """Choose the verbosity that a command's arguments ask for; return the other arguments.

    The last one of several flags counts.
    """
    chosen = [_FLAGS[word] for word in arguments if word in _FLAGS]
    set_verbosity(chosen[-1] if chosen else Verbosity.NORMAL)
    return [word for word in arguments if word not in _FLAGS]


def flags() -> list[str]:
    """Return the command line's flags that give another process this verbosity."""
    return [_chosen[0].value] if _chosen[0].value else []


def note(text: str) -> None:
    """Print a note, unless the program is quiet."""
    if not is_quiet():
        always(text)


def plain(text: str) -> None:
    """Print lines that continue a note, unless the program is quiet."""
    if not is_quiet():
        print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Print a warning, unless the program is quiet."""
    note(f"warning: {text}")


def detail(text: str) -> None:
    """Print a note that only ``--verbose`` shows."""
    if is_verbose():
        always(text)


def always(text: str) -> None:
    """Print a line to stderr at once, whatever the verbosity is."""
    print(f"d3gan: {text}", file=sys.stderr, flush=True)
