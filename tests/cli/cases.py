"""Tables of commands with their expected line and exit status, run from outside.

Each table is a list of `Case`s in a file `test_cases_*.py`; its one test calls `check`.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.program import finish, start_process


@dataclass(frozen=True)
class Case:
    """One command of a user, and what it must print."""

    name: str
    """Identifier of the test."""
    command: tuple[object, ...]
    """Arguments of d3gan; it runs in the test's folder."""
    line: str
    """Text that one line of stderr or stdout must contain."""
    status: int = 2
    prepare: Callable[[Path], object] | None = None
    """Called with the test's folder before the command."""
    absent: tuple[str, ...] = ()
    """Texts that the output must not contain; "Traceback" is always one of them."""
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 120


def check(case: Case, folder: Path) -> None:
    """Run the case's command in `folder`. If it fails with status 2, its error is one line."""
    if case.prepare:
        case.prepare(folder)
    command = [sys.executable, "-m", "d3gan", *case.command]
    ended = finish(start_process(command, folder=folder, **case.environment), case.timeout)
    lines = [*ended.stderr.splitlines(), *ended.stdout.splitlines()]
    assert ended.returncode == case.status, ended
    assert any(case.line in line for line in lines), ended
    for text in ("Traceback", *case.absent):
        assert text not in ended.stderr + ended.stdout, ended
    if case.status == 2:
        errors = [line for line in lines if line.startswith("d3gan: error: ")]
        assert len(errors) == 1, ended
