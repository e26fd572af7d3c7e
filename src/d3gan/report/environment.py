"""Describe where the runs of a page were trained."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from d3gan.errors import UserError
from d3gan.report import wording
from d3gan.report.comparison import Runs
from d3gan.report.tables import Cell, Rows, Table
from d3gan.runs import RunFolder


class Environment(NamedTuple):
    """Training environments of all sessions of all runs."""

    values: Table
    """Value of each property; if runs differ, each value with its runs."""
    commands: Table
    """Command that started each run."""
    without: list[str]
    """Names of the runs that recorded no environment."""


def environment(runs: Runs) -> Environment:
    """Read the environments of all runs."""
    known: dict[str, dict[str, list[str]]] = {}
    commands: dict[str, str] = {}
    times: list[str] = []
    without: list[str] = []
    folders = [folder for of_method in runs.values() for folder in of_method]
    for folder in folders:
        name, sessions = folder.path.name, _sessions(folder)
        if not sessions:
            without.append(name)
        for session in sessions:
            flat = _flat(session)
            times.append(flat.pop("time", "").replace("T", " ").replace("+00:00", " UTC"))
            commands.setdefault(flat.pop("command", ""), name)
            for key, value in flat.items():
                names = known.setdefault(key, {}).setdefault(value, [])
                if name not in names:
                    names.append(name)
    values: Rows = [[key, _values(found, len(folders))] for key, found in known.items()]
    times = sorted(filter(None, times))
    if times:
        period = " to ".join(dict.fromkeys((times[0], times[-1])))
        values.insert(0, ["time", [Cell(period)]])
    started: Rows = [[name, Cell(command, "code")] for command, name in commands.items() if command]
    return Environment(
        Table("Hardware and software", ["property", "value"], values, "words"),
        Table("Command that started each run", ["run", "command"], started, "words"),
        without,
    )


def _sessions(folder: RunFolder) -> list[dict[str, Any]]:
    """Return the entries of environment.json; none if it is missing or damaged."""
    try:
        return folder.sessions()
    except UserError:
        return []


def _values(found: Mapping[str, Sequence[str]], total: int) -> list[Cell]:
    if len(found) == 1 and all(len(names) == total for names in found.values()):
        return [Cell(value) for value in found]
    cells = []
    for value, names in found.items():
        note = f"{len(names)} of {wording.plural(total, 'run')}"
        if len(names) <= total / 2:
            note += f": {wording.listed(names)}"
        cells.append(Cell(value, note=f"({note})"))
    return cells


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key} ")
        elif key == "command" and isinstance(value, list):
            flat[key] = " ".join(map(str, value))
        elif value not in (None, "", []):
            flat[f"{prefix}{key}".replace("_", " ")] = wording.setting(value)
    return flat
