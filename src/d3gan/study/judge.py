"""The judge: what the runs of a study show. It is the only place where a comparison is decided.

docs/judge.md explains the statistics; `d3gan.study.sentences` words the result, and
`d3gan.study.judgement` writes it as plain values.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scipy.special import bdtrc

from d3gan.study.censored import TimeRatio, time_ratio
from d3gan.study.learned import Learned, has_learned
from d3gan.study.measures import Group, Target, differences, group_targets, times
from d3gan.study.methods import Method
from d3gan.study.quality import QualityRatio, quality_ratio
from d3gan.study.question import Primary, Question
from d3gan.study.records import Axis, Metric

ALPHA = 0.05
"""Probability of a false claim: in the primary comparison, in all secondary comparisons together
(other methods), and in all supplementary ones together (other clocks and targets)."""

Word = Literal["faster", "slower", "equivalent", "no clear difference", "cannot be judged"]


@dataclass(frozen=True)
class Comparison:
    """A method against the baseline on one clock, with one target."""

    method: str
    baseline: str
    clock: Axis
    target: Target
    primary: bool
    time: TimeRatio | None
    """Ratio of the method's costs to the target; None if the cost of a run is unknown."""
    quality: QualityRatio | None
    """Ratio of the metric at equal cost, below 1 if the method is better; None without pairs."""
    adjusted_p: float | None = None
    """p-value of the time ratio, adjusted by `holm` within its family; the primary is alone."""
    adjusted_p_equivalent: float | None = None
    """The same of the test of equivalence."""
    word: Word = "cannot be judged"
    reason: str = ""
    """Why the word is not a stronger one; empty if the numbers say so themselves."""


@dataclass(frozen=True)
class Judged:
    """The result for one group."""

    group: Group
    learned: Learned
    targets: list[Target]
    comparisons: list[Comparison]
    """Empty if the baseline learned nothing."""


def judge(groups: Sequence[Group], question: Question, metric: Metric) -> list[Judged]:
    """Judge the methods of each group against its baseline."""
    primary = _primary(groups, question)
    judged = []
    for group in groups:
        learned = has_learned([*group.baseline.records, *group.pilot], metric)
        targets = group_targets(group, question, metric)
        compared = [
            comparison
            for method in group.methods[1:]
            for clock in question.clocks
            if learned.learned is not False
            for comparison in _compare(group, method, clock, targets, question, metric, primary)
        ]
        judged.append(Judged(group, learned, targets, compared))
    decided = iter(_decide([c for part in judged for c in part.comparisons], question))
    return [replace(part, comparisons=[next(decided) for _ in part.comparisons]) for part in judged]


def holm(p: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the probability of any
    false claim stays below the level, however the tests depend on each other.
    """
    adjusted = [1.0] * len(p)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted


def _primary(groups: Sequence[Group], question: Question) -> Primary | None:
    """Return the primary comparison: the one named, or the only one."""
    others = [method.name for group in groups for method in group.methods[1:]]
    if question.primary or len(others) != 1:
        return question.primary
    return Primary(others[0], question.clocks[0], question.targets[0])


def _compare(
    group: Group,
    method: Method,
    clock: Axis,
    targets: Sequence[Target],
    question: Question,
    metric: Metric,
    primary: Primary | None,
) -> list[Comparison]:
    """Return for each target a comparison with its numbers, not yet decided."""
    base = group.baseline
    known = all(record.knows(clock) for record in (*method.records, *base.records))
    pairs = differences(method, base, clock, metric) if known else []
    quality = quality_ratio(pairs, question.margin) if pairs else None
    found = []
    for goal in targets:
        time = None
        if known:
            time = time_ratio(*(times(m.records, clock, goal, metric) for m in (method, base)))
        named = primary == Primary(method.name, clock, goal.factor)
        found.append(Comparison(method.name, base.name, clock, goal, named, time, quality))
    return found


def main_clock_and_factor(
    comparisons: Sequence[Comparison], question: Question
) -> tuple[Axis, float]:
    """Return the clock and the factor of the primary comparison, or else the study's first ones."""
    primary = next((c for c in comparisons if c.primary), None)
    if primary:
        return primary.clock, primary.target.factor
    return question.clocks[0], question.targets[0]


def _decide(comparisons: Sequence[Comparison], question: Question) -> list[Comparison]:
    """Return the comparisons with adjusted p-values and words.

    The primary comparison stands alone. The other methods on its clock and with its target are one
    family of tests, and all other clocks and targets are another; both are corrected by `holm`.
    """
    main = main_clock_and_factor(comparisons, question)
    families: dict[str, list[int]] = {"primary": [], "secondary": [], "supplementary": []}
    for i, c in enumerate(comparisons):
        other = "secondary" if (c.clock, c.target.factor) == main else "supplementary"
        families["primary" if c.primary else other].append(i)
    decided = list(comparisons)
    for family in families.values():
        members = [comparisons[i] for i in family]
        adjusted = zip(
            family,
            members,
            holm([c.time.p if c.time else 1.0 for c in members]),
            holm([_p_equivalent(c) for c in members]),
            strict=True,
        )
        for i, c, p, p_equivalent in adjusted:
            word, reason = decide(c.time, p, p_equivalent)
            decided[i] = replace(
                c,
                adjusted_p=p if c.time else None,
                adjusted_p_equivalent=p_equivalent if c.quality else None,
                word=word,
                reason=reason,
            )
    return decided


def _p_equivalent(comparison: Comparison) -> float:
    quality = comparison.quality
    return 1.0 if quality is None or quality.p is None else quality.p


def decide(time: TimeRatio | None, p: float, p_equivalent: float) -> tuple[Word, str]:
    """Return the word for a comparison, and why it is not a stronger one.

    `p` and `p_equivalent` are adjusted. A difference of times is claimed only for a method that
    reaches the target about as reliably as the other: see `reaches_reliably`. Nothing is decided if
    most runs of a method had reached the target when they were first evaluated.
    """
    doubt = ""
    early = time is not None and any(
        2 * first > seeds for first, seeds in zip(time.at_first, time.seeds, strict=True)
    )
    if time and p <= ALPHA and not early:
        faster = time.high <= 1
        if reaches_reliably(time, faster=faster):
            return ("faster" if faster else "slower"), ""
        doubt = "unreliable"
    if p_equivalent <= ALPHA:
        return "equivalent", ""
    if time is None:
        return "cannot be judged", "unknown cost"
    if early:
        return "cannot be judged", "first evaluation"
    if time.reached == (0, 0):
        return "cannot be judged", "never reached"
    if 2 / math.comb(sum(time.seeds), time.seeds[0]) > ALPHA:
        return "cannot be judged", "too few seeds"
    return "no clear difference", doubt or ("corrected" if time.p <= ALPHA < p else "")


def reaches_reliably(time: TimeRatio, *, faster: bool) -> bool:
    """Return whether a difference of times may be claimed, given how many runs reached the target.

    A method that is fast in half of its runs and fails in the others is not faster: "faster" needs
    that the method is shown to reach the target in more than half of its runs, by an exact binomial
    test at ALPHA / 2 (Clopper and Pearson 1934), which takes at least 6 seeds. The burden of proof
    is with the method that is called better: for "slower" it suffices that the baseline reaches the
    target in at least the method's share of runs.
    """
    reached, seeds = time.reached, time.seeds
    if not faster and reached[1] * seeds[0] >= reached[0] * seeds[1]:
        return True
    winner = 0 if faster else 1
    return reached[winner] >= least_reached(seeds[winner])


def least_reached(seeds: int) -> int:
    """Return how many runs must reach the target to show that more than half would; more than there
    are seeds if all of them would not show it."""
    return next(k for k in range(seeds + 2) if bdtrc(k - 1, seeds, 0.5) <= ALPHA / 2)
