"""Types of the report's input: a comparison of methods and the run folders behind it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from d3gan.report.wording import setting
from d3gan.runs import RunFolder

Comparison = Mapping[str, Any]
"""Result of `d3gan.study.compare.compare`; docs/comparison.md describes its keys."""
Runs = Mapping[str, Sequence[RunFolder]]
"""Run folders by method: those of the comparison in its order, then those that are not judged."""

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
    "damaged": (),
    "judgement": {
        "headline": "Nothing can be judged.", "sentences": [], "groups": [], "left_out": [],
    },
} | {
    key: {}
    for key in (
        "protocol", "at", "methods", "at_equal_time", "at_equal_compute", "curves", "differences",
        "configs", "unjudged",
    )
}  # fmt: skip


def completed(comparison: Comparison) -> Comparison:
    """Return the comparison with an empty value for each key that is absent or null."""
    known = {key: value for key, value in comparison.items() if value is not None}
    return {**_OPTIONAL, **known}


def with_unjudged(comparison: Comparison) -> Comparison:
    """Return the comparison with the runs that were not judged among its runs, by method."""
    judged, others = comparison["runs"], comparison["unjudged"]
    names = dict.fromkeys([*judged, *others])
    runs = {name: [*judged.get(name, ()), *others.get(name, ())] for name in names}
    return {**comparison, "runs": runs}


def run_folders(comparison: Comparison) -> dict[str, list[RunFolder]]:
    """Return the folders of all runs of a comparison, judged or not, by method."""
    runs = with_unjudged(completed(comparison))["runs"]
    return {name: [RunFolder(Path(run["path"])) for run in of] for name, of in runs.items()}


def run_values(comparison: Comparison, key: str) -> dict[str, list[Any]]:
    """Return the value of `key` of every run, by method; None where a run has none."""
    return {name: [run.get(key) for run in runs] for name, runs in comparison["runs"].items()}


def groups(comparison: Comparison) -> list[Mapping[str, Any]]:
    """Return the groups of methods that the judge compared, each within itself."""
    return list(comparison["judgement"]["groups"])


def has_primary(comparison: Comparison) -> bool:
    """Return whether one of the comparisons was named beforehand."""
    return any(one["primary"] for group in groups(comparison) for one in group["comparisons"])


def group_title(group: Mapping[str, Any]) -> str:
    """Return what sets a group apart: ``train.batch_size = 64``; "" if there is only one group."""
    return ", ".join(f"{key} = {setting(value)}" for key, value in group["varied"].items())


def in_group(text: str, group: Mapping[str, Any]) -> str:
    """Return a caption, with what sets a group apart if there are several groups."""
    title = group_title(group)
    return f"{text}, {title}" if title else text
