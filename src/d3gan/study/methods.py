"""Group runs into methods, and list how methods differ."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from d3gan.config import Config, flatten, identifies_run, separates_methods, to_dict
from d3gan.study.records import Record


@dataclass(frozen=True)
class Method:
    """Runs with the same configuration and different seeds."""

    name: str
    records: list[Record]

    def config(self) -> dict[str, Any]:
        """Return the flat configuration; where runs differ in a key, its values as one text."""
        configs = [_flat(record.config) for record in self.records]
        return {key: _joined([config[key] for config in configs]) for key in configs[0]}


def group(
    records: Sequence[Record], vary: Sequence[str] = (), known: Iterable[Method] = ()
) -> dict[str, Method]:
    """Return the methods by name, in the order of their first runs. Runs of a method that is
    `known` get its name.

    Runs with different values of the keys `vary` belong to different methods, also if the keys do
    not change the result. The name of a method is what the names of its runs have in common.
    """
    groups: dict[Key, list[Record]] = {}
    for record in records:
        groups.setdefault(method_key(record, vary), []).append(record)
    names = {method_key(method.records[0], vary): method.name for method in known}
    methods: dict[str, Method] = {}
    for key, same in groups.items():
        taken = [*names.values(), *methods]
        name = names.get(key) or _unique(common_name([(r.name, r.seed) for r in same]), taken)
        methods[name] = Method(name, same)
    return methods


Key = tuple[tuple[str, str], ...]


def method_key(record: Record, vary: Sequence[str] = ()) -> Key:
    """Return what the runs of a method have in common."""
    flat = _flat(record.config) | _images_of(record)
    return tuple((k, repr(v)) for k, v in flat.items() if separates_methods(k) or k in vary)


def _images_of(record: Record) -> dict[str, Any]:
    """Return what names the run's images wherever they are: their digest in place of a path."""
    digest = next((s["data_digest"] for s in record.sessions if "data_digest" in s), None)
    is_path = Path(record.config.data.source).is_absolute()
    return {"data.source": digest, "data.split": ""} if digest and is_path else {}


def varied_values(record: Record, vary: Sequence[str]) -> dict[str, Any]:
    """Return the values of the varied keys, by which methods are separated into groups."""
    flat = _flat(record.config)
    return {key: flat[key] for key in vary if key in flat}


def common_name(runs: Sequence[tuple[str, int]]) -> str:
    """Return what the names of runs, given as (name, seed), have in common.

    ``mnist-d3gan-seed-0`` and ``mnist-d3gan-seed-1`` give ``mnist-d3gan``.
    """
    names = [_without_seed(name, seed) for name, seed in runs]
    columns = takewhile(lambda column: len(set(column)) == 1, zip(*names, strict=False))
    common = "".join(column[0] for column in columns)
    if any(name[len(common) : len(common) + 1].isdigit() for name in names):
        common = common.rstrip("0123456789")  # the 1 of run-10 and run-11 is part of a number
    return common.rstrip("-_. ") or names[0]


def _without_seed(name: str, seed: int) -> str:
    return re.sub(rf"(?<=.)([-_. ]?seed[-_. ]?|[-_. ]){seed}$", "", name)


def _unique(name: str, taken: Collection[str]) -> str:
    candidates = (f"{name} ({number})" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(c for c in candidates if c not in taken)


def differences(baseline: Method, other: Method) -> dict[str, list[Any]]:
    """Return every key that differs between two methods, with its values in both."""
    first, second = baseline.config(), other.config()
    return {
        key: [first[key], second[key]]
        for key in first
        if first[key] != second[key] and not identifies_run(key)
    }


def _flat(config: Config) -> dict[str, Any]:
    """Return the flat configuration with plain values only."""
    flat = flatten(to_dict(config))
    return {key: list(value) if isinstance(value, tuple) else value for key, value in flat.items()}


def _joined(values: Sequence[Any]) -> Any:
    distinct = [value for i, value in enumerate(values) if value not in values[:i]]
    return distinct[0] if len(distinct) == 1 else ", ".join(map(str, distinct))
