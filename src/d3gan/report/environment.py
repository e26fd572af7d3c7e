"""Describe where the runs of a page were trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from d3gan.report import wording
from d3gan.report.comparison import Runs
from d3gan.report.tables import Cell, Rows, Table


@dataclass
class Environment:
    """Environments of all sessions of all runs."""

    total: int = 0
    """Number of runs."""
    without: list[str] = field(default_factory=list)
    """Runs that recorded no environment."""
    values: dict[str, dict[str, dict[str, None]]] = field(default_factory=dict)
    """Names of the runs, in order, by property and its value."""
    commands: dict[str, str] = field(default_factory=dict)
    """Run by the command that started it."""
    times: list[str] = field(default_factory=list)

    def table(self) -> Table:
        """Return each property's value; if runs differ, each value with its runs."""
        rows: Rows = [
            [key, [self._cell(value, list(names), values) for value, names in values.items()]]
            for key, values in self.values.items()
        ]
        if times := sorted(filter(None, self.times)):
            rows.insert(0, ["time", " to ".join(dict.fromkeys((times[0], times[-1])))])
        return Table("Training environment", ["property", "value"], rows, "words")

    def _cell(self, value: str, names: list[str], values: Mapping[str, Any]) -> Cell:
        if len(values) == 1 and len(names) == self.total:
            return Cell(value)
        note = f"{len(names)} of {wording.plural(self.total, 'run')}"
        if len(names) <= self.total / 2:
            note += f": {wording.listed(names)}"
        return Cell(value, note=f"({note})")

    def command_table(self) -> Table:
        """Return the command that started each run."""
        rows: Rows = [
            [name, Cell(command, "code")] for command, name in self.commands.items() if command
        ]
        return Table("Command that started each run", ["run", "command"], rows, "words")


def environment(runs: Runs) -> Environment:
    """Read the environments of all runs."""
    found = Environment()
    for folder in (folder for folders in runs.values() for folder in folders):
        found.total += 1
        sessions = folder.sessions()
        if not sessions:
            found.without.append(folder.path.name)
        for session in sessions:
            flat = _flat(session)
            found.times.append(flat.pop("time", "").replace("T", " ").replace("+00:00", " UTC"))
            found.commands.setdefault(flat.pop("command", ""), folder.path.name)
            for key, value in flat.items():
                found.values.setdefault(key, {}).setdefault(value, {})[folder.path.name] = None
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key} ")
        elif key == "command" and isinstance(value, list):
            flat[key] = " ".join(map(str, value))
        else:
            flat[f"{prefix}{key}".replace("_", " ")] = wording.setting(value)
    return flat
