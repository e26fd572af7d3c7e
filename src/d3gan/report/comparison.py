"""Types of the report's input: a comparison of methods and the run folders behind it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from d3gan.runs import RunFolder

Comparison = Mapping[str, Any]
"""Result of `d3gan.study.compare.compare`; docs/comparison.md describes its keys."""
Runs = Mapping[str, Sequence[RunFolder]]
"""Run folders by method, in the order of the comparison."""

BUDGETS: Final = {
    "images": ("methods", "equal images"),
    "seconds": ("at_equal_time", "equal time"),
    "flops": ("at_equal_compute", "equal compute"),
}
"""For each budget, the comparison's key that holds the metrics at it, and its title."""

_OPTIONAL: Final[Mapping[str, Any]] = {
    "better": "lower",
    "baseline": "",
    "verdict": "",
    "warnings": (),
} | {
    key: {}
    for key in (
        "protocol", "at", "methods", "at_equal_time", "at_equal_compute", "curves", "target",
        "time_to_target", "speedup", "differences", "configs", "verdicts",
    )
}  # fmt: skip


def completed(comparison: Comparison) -> Comparison:
    """Return the comparison with an empty value for each key that is absent or null."""
    known = {key: value for key, value in comparison.items() if value is not None}
    return {**_OPTIONAL, **known}


def run_values(comparison: Comparison, key: str) -> dict[str, list[Any]]:
    """Return the value of `key` of every run, by method; None where a run has none."""
    return {name: [run.get(key) for run in runs] for name, runs in comparison["runs"].items()}
