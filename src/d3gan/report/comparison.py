"""Types of the report's input: a comparison of methods and the run folders behind it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from d3gan.report.wording import setting
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
    "warnings": (),
    "judgement": {
        "headline": "Nothing can be judged.", "sentences": [], "groups": [], "left_out": [],
    },
} | {
    key: {}
    for key in (
        "protocol", "at", "methods", "at_equal_time", "at_equal_compute", "curves", "differences",
        "configs",
    )
}  # fmt: skip


def completed(comparison: Comparison) -> Comparison:
    """Return the comparison with an empty value for each key that is absent or null."""
    known = {key: value for key, value in comparison.items() if value is not None}
    if known.get("verdict"):  # a comparison that the judge did not judge
        known.setdefault("judgement", {**_OPTIONAL["judgement"], "headline": known["verdict"]})
    return {**_OPTIONAL, **known}


def run_values(comparison: Comparison, key: str) -> dict[str, list[Any]]:
    """Return the value of `key` of every run, by method; None where a run has none."""
    return {name: [run.get(key) for run in runs] for name, runs in comparison["runs"].items()}


def groups(comparison: Comparison) -> list[Mapping[str, Any]]:
    """Return the judgement's groups of methods; without a judgement, one group of all methods."""
    names = list(comparison["runs"])
    unjudged = {
        "varied": {},
        "baseline": comparison["baseline"],
        "methods": names,
        "reason": "",
        "targets": [],
        "times": {},
        "comparisons": [],
        "stability": {},
        "costs": {},
    }
    return list(comparison["judgement"]["groups"]) or ([unjudged] if names else [])


def group_title(group: Mapping[str, Any]) -> str:
    """Return what sets a group apart: ``train.batch_size = 64``; "" if there is only one group."""
    return ", ".join(f"{key} = {setting(value)}" for key, value in group["varied"].items())
