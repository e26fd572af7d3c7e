"""The parts of a page that tell which method is better, and how sure that is."""

from collections.abc import Mapping, Sequence
from typing import Any

from d3gan.report import wording
from d3gan.report.chart import Chart, Comparison, Style, amount
from d3gan.report.elements import figures, legend, method, missing, table, unseen
from d3gan.report.markup import Html, joined, tag

BUDGETS = {"images": "equal images", "seconds": "equal time", "flops": "equal compute"}
AT = {"images": "methods", "seconds": "at_equal_time", "flops": "at_equal_compute"}
"""Where a comparison holds the numbers at each budget."""


def verdict_part(comparison: Comparison) -> Html:
    """The verdict in words, the budgets it holds for, and the speed-ups behind it."""
    budgets = comparison.get("at") or {}
    facts = [
        tag("div", tag("dt", f"Compared at {label}"), tag("dd", amount(key, budgets[key])))
        for key, label in BUDGETS.items()
        if budgets.get(key) is not None
    ]
    target = comparison.get("target") or {}
    if target.get("value") is not None:
        told = f"{comparison['metric']} {wording.number(target['value'])}"
        facts.append(tag("div", tag("dt", "Target"), tag("dd", told)))
    return joined(
        *_headline(comparison),
        _troubles(comparison),
        tag("dl", *facts, class_="facts") if facts else None,
        _speedups(comparison),
    )


def _headline(comparison: Comparison) -> list[Html]:
    """One sentence large; several, as of a study of many methods, each by itself."""
    verdict = comparison.get("verdict") or "No verdict was given."
    sentences = list((comparison.get("verdicts") or {}).values())
    rest = verdict.removeprefix(" ".join(sentences)).strip()
    sentences += [rest] if rest else []
    kind = "verdict" if len(sentences) == 1 else "verdict one-of-several"
    return [tag("p", sentence, class_=kind) for sentence in sentences]


def _troubles(comparison: Comparison) -> Html | None:
    told = []
    for name, entries in comparison["runs"].items():
        for status in ("unfinished", "diverged", "collapsed"):
            count = sum(run.get("status") == status for run in entries)
            if count:
                told.append(f"{count} of {wording.plural(len(entries), 'run')} of {name} {status}")
    return tag("p", f"Not all went well: {'; '.join(told)}.", class_="warning") if told else None


def _speedups(comparison: Comparison) -> Html:
    speedups = comparison.get("speedup") or {}
    if not speedups:
        return missing(
            "No speed-up to tell: there is one method only, or there are no pairs of runs."
        )
    rows = []
    for name, speedup in speedups.items():
        by = {key: speedup.get(key) or {} for key in BUDGETS}
        pairs = by["seconds"]
        rows.append([
            name,
            *(wording.at_most(by[key]) for key in BUDGETS),
            wording.count(pairs.get("pairs")),
            wording.count(pairs.get("censored")),
        ])  # fmt: skip
    return joined(
        table(
            "Speed-up: how many times less one method needs to come to the best value of the other",
            ["methods", "images", "training time", "compute", "pairs of seeds", "never got there"],
            rows,
        ),
        tag(
            "p",
            "Geometric mean over pairs of runs with the same seed, with its 95 % interval. Above "
            "1: the first is faster. An interval that includes 1 shows nothing either way; where "
            "runs never got there, the mean is at most what is told.",
            class_="faint",
        ),
    )


def quality_part(comparison: Comparison, look: Mapping[str, Style]) -> Html:
    """Every method at each budget, by the metric compared; then by all metrics."""
    metric, better = comparison["metric"], comparison.get("better", "lower")
    budgets = comparison.get("at") or {}
    columns = {
        key: {
            name: (numbers or {}).get(metric)
            for name, numbers in (comparison.get(AT[key]) or {}).items()
        }
        for key in BUDGETS
    }
    rows = [
        [
            method(name, look),
            *(_estimate(name, columns[key], better) for key in BUDGETS),
            wording.count((columns["images"].get(name) or {}).get("seeds")),
        ]
        for name in comparison["runs"]
    ]
    heads = [
        joined(label, tag("br"), amount(key, budgets[key])) if budgets.get(key) else label
        for key, label in BUDGETS.items()
    ]
    return joined(
        tag(
            "p",
            "Mean over seeds with its 95 % interval (Student's t), as mean (low to high). A method "
            "with one seed has no interval. The best mean is set in bold; that alone does not make "
            "it the better method.",
            class_="faint",
        ),
        table(
            f"{wording.metric_title(metric)}, {better} is better",
            ["method", *heads, "seeds"],
            rows,
        ),
        tag("h3", "All metrics at equal images"),
        _all_metrics(comparison, look),
    )


def _estimate(name: str, of_methods: Mapping[str, Any], better: str) -> object:
    estimate = of_methods.get(name)
    told = wording.interval(estimate)
    means = [e["mean"] for e in of_methods.values() if e and e.get("mean") is not None]
    best = min(means, default=None) if better == "lower" else max(means, default=None)
    if len(means) > 1 and estimate and estimate.get("mean") == best and len(set(means)) > 1:
        return joined(tag("strong", told), unseen(", the best mean"))
    return told


def _all_metrics(comparison: Comparison, look: Mapping[str, Style]) -> Html:
    methods = {name: numbers or {} for name, numbers in (comparison.get("methods") or {}).items()}
    metrics = list(dict.fromkeys(metric for numbers in methods.values() for metric in numbers))
    if not metrics:
        return missing("No method was evaluated at that many images.")
    rows = []
    for metric in metrics:
        estimates = {name: methods.get(name, {}).get(metric) for name in comparison["runs"]}
        better = next((e["better"] for e in estimates.values() if e and e.get("better")), "lower")
        heading = joined(
            wording.metric_title(metric), tag("br"), tag("small", f"{better} is better")
        )
        rows.append([heading, *(_estimate(name, estimates, better) for name in estimates)])
    images = (comparison.get("at") or {}).get("images")
    caption = f"After {amount('images', images)}" if images else "At equal images"
    return table(caption, ["metric", *(method(name, look) for name in comparison["runs"])], rows)


def curves_part(comparison: Comparison, charts: Sequence[Chart], look: Mapping[str, Style]) -> Html:
    """The metric over images, time and compute."""
    if not charts:
        return missing("No curves: the runs have no evaluations in common.")
    return joined(
        tag(
            "p",
            "Thick: the mean over seeds. Band: its 95 % interval, where there are two seeds or "
            "more. Thin: each seed.",
            class_="faint",
        ),
        legend(charts[0].methods, look),
        figures(charts, comparison),
    )


def target_part(comparison: Comparison, charts: Sequence[Chart], look: Mapping[str, Style]) -> Html:
    """How many runs reached the target, and when."""
    target = comparison.get("target") or {}
    methods = comparison.get("time_to_target") or {}
    if target.get("value") is None or not methods:
        return missing("There is no target to reach: no run of the baseline was evaluated.")
    what = f" ({target['what']})" if target.get("what") else ""
    rows = [
        [
            method(name, look),
            f"{estimate['reached']} of {estimate['seeds']}",
            *(_median(estimate, key) for key in ("seconds", "images", "flops")),
        ]
        for name, estimate in methods.items()
    ]
    return joined(
        tag("p", f"The target is {comparison['metric']} "
                 f"{wording.number(target['value'])}{what}."),
        table(
            "Median over runs, with its 95 % interval where there are runs enough for one",
            ["method", "reached by", "training time", "images", "compute"],
            rows,
        ),
        figures(charts, comparison) if charts else None,
        tag(
            "p",
            "Runs that never reached the target are not left out: they count as needing longer "
            "than they were trained. Filled: a run at the moment it reached the target. Hollow: "
            "one that ended without. Upright line: the median; bar: its interval, open to the "
            "right where no end is known.",
            class_="faint",
        ),
    )  # fmt: skip


def _median(estimate: Mapping[str, Any], key: str) -> str:
    """A median with its interval, where each is known: ``5.5 min (5.2 to 5.9)``."""
    middle, low, high = (estimate.get(name) for name in (key, f"{key}_low", f"{key}_high"))
    if middle is None:
        return f"above {amount(key, low)}" if low is not None else "never, for half of them"
    told = amount(key, middle)
    if low is None:
        return told
    factor, _ = wording.unit_for(key, middle)
    ends = [wording.number(factor * end, factor * middle) for end in (low, high) if end is not None]
    return f"{told} ({' to '.join(ends)}{'' if high is not None else ' or more'})"
