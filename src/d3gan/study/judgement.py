"""The result of the judge as plain values, for JSON, the report and the terminal."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from d3gan.study import sentences
from d3gan.study.censored import Time, TimeRatio
from d3gan.study.judge import Comparison, Judged, judge, main_clock_and_factor
from d3gan.study.measures import Group, times
from d3gan.study.methods import Method
from d3gan.study.quality import geometric_ratio
from d3gan.study.question import Question
from d3gan.study.records import Metric, Record
from d3gan.study.stability import stability


def judgement(
    groups: Sequence[Group],
    question: Question,
    metric: Metric,
    left_out: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what the runs of a study show.

    `left_out` are the names of runs that are not judged, and why. The result is strict JSON once
    non-finite numbers are replaced by None, which this function does.
    """
    judged = judge(groups, question, metric)
    spoken = _spoken(judged, question, metric)
    reasons = [f"{name} {why}" for name, why in (left_out or {}).items()]
    if len(reasons) > 1:
        others = f"{len(reasons) - 1} other run{'s are' if len(reasons) > 2 else ' is'}"
        reasons[1:] = [f"{others} left out too"]
    headline = sentences.headline(judged, spoken, reasons)
    found = {
        "headline": headline,
        "sentences": list(dict.fromkeys([headline, *spoken])),
        "groups": [_group(part, question, metric) for part in judged],
        "left_out": [{"name": name, "reason": why} for name, why in (left_out or {}).items()],
    }
    values: dict[str, Any] = plain(found)
    return values


def _spoken(judged: Sequence[Judged], question: Question, metric: Metric) -> list[str]:
    """Return the sentences: the primary comparison's first, then one for each other method and for
    each group in which nothing is judged.

    They are about the primary's clock and target, or else the first of the study. The other clocks
    and targets stand in the tables.
    """
    compared = [c for part in judged for c in part.comparisons]
    primary = next((c for c in compared if c.primary), None)
    main = main_clock_and_factor(compared, question)
    spoken = []
    for part in judged:
        if part.learned.learned is False and len(part.group.methods) > 1:
            spoken.append(sentences.nothing_learned(part, metric))
        for c in part.comparisons:
            if (c.clock, c.target.factor) == main and not c.primary:
                spoken.append(sentences.sentence(c, metric, question.margin))
    first = [sentences.sentence(primary, metric, question.margin)] if primary else []
    return first + spoken


def _group(part: Judged, question: Question, metric: Metric) -> dict[str, Any]:
    group, learned = part.group, part.learned
    base = group.baseline
    return {
        "varied": dict(group.varied),
        "baseline": base.name,
        "methods": [method.name for method in group.methods],
        "learned": learned.learned,
        "reason": sentences.nothing_learned(part, metric) if learned.learned is False else "",
        "targets": [asdict(target) for target in part.targets],
        "times": {method.name: _times(method, part, question, metric) for method in group.methods},
        "comparisons": [_comparison(c, question, metric) for c in part.comparisons],
        "stability": {
            method.name: stability(method, base, question.collapsed_below)
            for method in group.methods
        },
        "costs": {method.name: _costs(method, part) for method in group.methods[1:]},
    }


def _times(method: Method, part: Judged, question: Question, metric: Metric) -> dict[str, Any]:
    """Return for each clock and target what every run spent until it reached the target."""
    seeds = [record.seed for record in method.records]

    def row(seed: int, time: Time) -> dict[str, Any]:
        return {"seed": seed, **asdict(time)}

    return {
        clock: {
            f"{target.factor:g}": list(
                map(row, seeds, times(method.records, clock, target, metric))
            )
            for target in part.targets
        }
        for clock in question.clocks
        if all(record.knows(clock) for record in method.records)
    }


def _comparison(c: Comparison, question: Question, metric: Metric) -> dict[str, Any]:
    return {
        "method": c.method,
        "baseline": c.baseline,
        "clock": c.clock,
        "factor": c.target.factor,
        "target": c.target.value,
        "primary": c.primary,
        "word": c.word,
        "sentence": sentences.sentence(c, metric, question.margin),
        "p": c.time.p if c.time else None,
        "adjusted_p": c.adjusted_p,
        "time": _time_ratio(c.time),
        "quality": asdict(c.quality) if c.quality else None,
        "more_seeds": sentences.more_seeds(c, question.margin),
    }


def _time_ratio(time: TimeRatio | None) -> dict[str, Any] | None:
    return {**asdict(time), "low": time.low or None} if time else None


def _costs(method: Method, part: Judged) -> dict[str, Any]:
    """Return ratios of costs, and the decomposition of the ratio of times to the first target:
    seconds per image times images to the target."""
    base = part.group.baseline
    per_image = _cost_ratio(method, base, lambda record: record.last["images"])
    ratios: dict[str, TimeRatio | None] = {"images": None, "seconds": None}
    for c in part.comparisons:
        if c.method == method.name and c.target == part.targets[0] and c.clock in ratios:
            ratios[c.clock] = c.time
    to_target = ratios["images"].estimate if ratios["images"] else None
    return {
        "seconds_per_step": _cost_ratio(method, base, lambda record: record.last["step"]),
        "seconds_per_image": per_image,
        "images_to_target": _time_ratio(ratios["images"]),
        "time_to_target": _time_ratio(ratios["seconds"]),
        "product": per_image["ratio"] * to_target if per_image and to_target else None,
    }


def _cost_ratio(method: Method, baseline: Method, units: Any) -> dict[str, Any] | None:
    """Return the ratio of seconds per unit over pairs of seeds; None if there is no pair."""

    def log_cost(record: Record) -> float | None:
        done, seconds = units(record), record.last["train_seconds"]
        return math.log(seconds / done) if done and seconds else None

    partners = {record.seed: log_cost(record) for record in baseline.records}
    found = [
        own - other
        for record in method.records
        if (own := log_cost(record)) is not None
        and (other := partners.get(record.seed)) is not None
    ]
    return asdict(geometric_ratio(found)) if found else None


def plain(value: Any) -> Any:
    """Return the value as strict JSON has it: without tuples, and None for non-finite numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
