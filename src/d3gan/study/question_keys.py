"""The keys of a study file that say how its runs are judged."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from d3gan import config as configs
from d3gan.errors import UserError
from d3gan.fields import OneOf, checked
from d3gan.registry import nearest
from d3gan.study.question import Primary, Question
from d3gan.study.records import AXES, Axis

KEYS = (
    "baseline", "metric", "primary", "pilot_seeds", "targets", "clocks", "margin",
    "collapsed_below",
)  # fmt: skip
"""Fields of `Question` that a study file sets; `vary` follows from the study's own key."""
LARGEST_FACTOR = 1000.0
_PRIMARY = ("method", "clock", "target")


def make_question(values: Mapping[str, Any], where: str = "") -> Question:
    """Return the question that `values` of the keys KEYS describe.

    Only the values themselves are checked, not whether the methods exist. `where` begins the error
    messages. Raises UserError, which names the key and what is allowed.
    """
    default = Question()
    targets = _targets(values.get("targets", default.targets), f"{where}targets")
    clocks = _clocks(values.get("clocks", default.clocks), f"{where}clocks")
    return Question(
        baseline=checked(str, values.get("baseline", ""), f"{where}baseline"),
        metric=checked(str, values.get("metric", ""), f"{where}metric"),
        primary=_primary(values.get("primary"), clocks, targets, f"{where}primary"),
        pilot_seeds=check_seeds(values.get("pilot_seeds", ()), f"{where}pilot_seeds"),
        targets=targets,
        clocks=clocks,
        margin=_share(values.get("margin", default.margin), f"{where}margin", below_one=True),
        collapsed_below=_share(
            values.get("collapsed_below", default.collapsed_below), f"{where}collapsed_below"
        ),
    )


def check_seeds(seeds: Any, where: str) -> tuple[int, ...]:
    """Return a list of seeds as a tuple. Raises UserError for values that are no seeds, and for a
    seed that occurs twice."""
    if not isinstance(seeds, list | tuple):
        raise UserError(f"{where} = {seeds!r}: must be a list such as [0, 1, 2]")
    for seed in seeds:
        configs.from_dict({"seed": seed}, origin=where)
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{where} = {list(seeds)}: contains a seed twice")
    return tuple(seeds)


def check_keys(table: Mapping[Any, Any], known: Sequence[str], where: str) -> None:
    """Raise UserError if a table has a key that is not known."""
    for key in table:
        if key not in known:
            allowed = nearest(str(key), known) or f"; allowed: {', '.join(known)}"
            raise UserError(f"{where}: unknown key {key}{allowed}")


def check_pilot_seeds(pilot: Sequence[int], seeds: Sequence[int], where: str) -> None:
    """Raise UserError if a pilot seed is also a seed of the study."""
    if shared := sorted(set(pilot) & set(seeds)):
        raise UserError(
            f"{where}pilot_seeds = {list(pilot)}: {shared[0]} is also among the seeds; pilot runs "
            "fix the targets and are not judged, so choose others, such as "
            f"{[max(*seeds, 99) + n for n in (1, 2, 3)]}"
        )


def _primary(
    value: Any, clocks: tuple[Axis, ...], targets: tuple[float, ...], where: str
) -> Primary | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise UserError(
            f'{where} = {value!r}: must be a table such as {{method = "d3gan", clock = "seconds", '
            "target = 1.25}"
        )
    check_keys(value, _PRIMARY, where)
    method = checked(str, value.get("method", ""), f"{where}.method")
    if not method:
        raise UserError(f"{where}: needs method = NAME, the method compared with the baseline")
    clock = value.get("clock", default_clock(clocks))
    if clock not in clocks:
        raise UserError(
            f"{where}.clock = {clock!r}: must be one of the study's clocks, {', '.join(clocks)}"
        )
    target = checked(float, value.get("target", targets[0]), f"{where}.target")
    if target not in targets:
        listed = ", ".join(f"{factor:g}" for factor in targets)
        raise UserError(
            f"{where}.target = {target:g}: must be one of the study's targets, {listed}"
        )
    return Primary(method, clock, target)


def default_clock(clocks: Sequence[Axis]) -> Axis:
    """Return the clock of a primary comparison that does not name one."""
    return "seconds" if "seconds" in clocks else clocks[0]


def _targets(value: Any, where: str) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise UserError(f"{where} = {value!r}: must be a list such as [1.25, 1.1]")
    targets = tuple(checked(float, factor, where) for factor in value)
    for factor in targets:
        if not 1 <= factor <= LARGEST_FACTOR:  # also refuses NaN
            raise UserError(
                f"{where} = {list(value)}: {factor:g} must be at least 1 and at most "
                f"{LARGEST_FACTOR:g}, a multiple of the baseline's plateau"
            )
    if len(set(targets)) < len(targets):
        raise UserError(f"{where} = {list(value)}: contains a target twice")
    return targets


def _clocks(value: Any, where: str) -> tuple[Axis, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise UserError(f"{where} = {value!r}: must be a list of {', '.join(AXES)}")
    clocks = tuple(checked(Annotated[str, OneOf(AXES)], clock, where) for clock in value)
    if len(set(clocks)) < len(clocks):
        raise UserError(f"{where} = {list(value)}: contains a clock twice")
    return clocks


def _share(value: Any, where: str, *, below_one: bool = False) -> float:
    share: float = checked(float, value, where)
    allowed = 0 < share < 1 if below_one else 0 < share <= 1
    if not allowed or not math.isfinite(share):
        limits = "above 0 and below 1" if below_one else "above 0 and at most 1"
        raise UserError(f"{where} = {share:g}: must be {limits}")
    return share
