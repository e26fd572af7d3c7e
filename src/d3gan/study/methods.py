"""Which runs are the same method but for their seed, and how methods differ."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from d3gan.config import Config, flatten, identifies_run, separates_methods, to_dict
from d3gan.errors import UserError
from d3gan.study.records import Record


@dataclass(frozen=True)
class Method:
    """Runs of one config with several seeds."""

    name: str
    records: list[Record]

    def config(self) -> dict[str, Any]:
        """Flat; where runs differ in a key, all its values, told in words."""
        configs = [_flat(record.config) for record in self.records]
        return {key: _told([config[key] for config in configs]) for key in configs[0]}


def group(records: Sequence[Record]) -> dict[str, Method]:
    """Methods by name, in the order of their first runs.

    A method's name is what its runs' names have in common. Raises UserError if two runs of one
    method have one seed: they are no two samples.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Record]] = {}
    for record in records:
        flat = _flat(record.config)
        key = tuple((k, repr(v)) for k, v in flat.items() if separates_methods(k))
        groups.setdefault(key, []).append(record)
    methods: dict[str, Method] = {}
    for same in groups.values():
        _check_seeds(same)
        name = _unique(common_name([(r.name, r.seed) for r in same]), methods)
        methods[name] = Method(name, same)
    return methods


def common_name(runs: Sequence[tuple[str, int]]) -> str:
    """Of runs by name and seed: ``mnist-d3gan-seed-0, mnist-d3gan-seed-1`` give ``mnist-d3gan``."""
    names = [_without_seed(name, seed) for name, seed in runs]
    columns = takewhile(lambda column: len(set(column)) == 1, zip(*names, strict=False))
    common = "".join(column[0] for column in columns)
    if any(name[len(common) : len(common) + 1].isdigit() for name in names):
        common = common.rstrip("0123456789")  # run-10, run-11 have no 1 in common
    return common.rstrip("-_. ") or names[0]


def _without_seed(name: str, seed: int) -> str:
    return re.sub(rf"(?<=.)([-_. ]?seed[-_. ]?|[-_. ]){seed}$", "", name)


def _unique(name: str, taken: Mapping[str, object]) -> str:
    candidates = (f"{name} ({number})" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(c for c in candidates if c not in taken)


def _check_seeds(records: Sequence[Record]) -> None:
    seen: dict[int, Record] = {}
    for record in records:
        other = seen.setdefault(record.seed, record)
        if other is not record:
            raise UserError(
                f"{other.run.path} and {record.run.path} are the same method with the same seed "
                f"{record.seed}, which tells nothing about chance; leave one of them out"
            )


def differences(baseline: Method, other: Method) -> dict[str, list[Any]]:
    """Every key of the config that differs: its value in the baseline and in the other."""
    first, second = baseline.config(), other.config()
    return {
        key: [first[key], second[key]]
        for key in first
        if first[key] != second[key] and not identifies_run(key)
    }


def _flat(config: Config) -> dict[str, Any]:
    """Plain values alone."""
    flat = flatten(to_dict(config))
    return {key: list(value) if isinstance(value, tuple) else value for key, value in flat.items()}


def _told(values: Sequence[Any]) -> Any:
    distinct = [value for i, value in enumerate(values) if value not in values[:i]]
    return distinct[0] if len(distinct) == 1 else ", ".join(map(str, distinct))
