"""The judge's results as sentences, which the terminal, the report, and the JSON share."""

import math
from collections.abc import Sequence

from d3gan.report.wording import bounds, ratio
from d3gan.study.censored import TimeRatio
from d3gan.study.judge import Comparison, Judged, least_reached
from d3gan.study.learned import FACTOR, Learned
from d3gan.study.quality import QualityRatio
from d3gan.study.records import Axis, Metric
from d3gan.study.sample_size import seeds_to_decide

CLOCKS: dict[Axis, str] = {
    "seconds": "training time",
    "images": "number of images",
    "steps": "number of generator steps",
    "flops": "number of operations",
}
"""Names of the clocks: "in 0.76 times DCGAN's training time"."""


def sentence(comparison: Comparison, metric: Metric, margin: float) -> str:
    """Return the result of a comparison as one sentence, or two if more seeds would decide it."""
    c = comparison
    if c.word == "equivalent":
        assert c.quality
        share = f"{100 * margin:g} %"
        return f"{_quality(c, c.quality, metric)}: equivalent within {share}."
    if c.word == "cannot be judged":
        return f"{c.method} and {c.baseline} cannot be judged: {_why_not(c, metric)}."
    assert c.time
    text = f"{_time(c, c.time, metric)}: {c.word}"
    if c.word != "no clear difference":
        return f"{text}."
    return f"{text}{_reason(c, c.time)}.{_more(c, margin)}"


def nothing_learned(judged: Judged, metric: Metric) -> str:
    """Return why the methods of a group are not judged: the baseline learned nothing."""
    name = judged.group.baseline.name
    return f"Nothing can be judged: {learned_nothing(name, judged.learned, metric)}"


def learned_nothing(name: str, learned: Learned, metric: Metric) -> str:
    """Return that a method learned nothing, what it would take to have learned, and the cause."""
    assert learned.best is not None
    assert learned.start is not None
    start, why = learned.start, learned.why
    if metric.better == "lower":
        needed = f"below {rounded(start / FACTOR)}, half of"
    else:
        needed = f"above {rounded(start * FACTOR)}, twice"
    return (
        f"{name} learned nothing. Its best {title(metric.name)} is {rounded(learned.best)}, and it "
        f"would have to be {needed} the {rounded(start)} before training (step 0). "
        f"{why[:1].upper()}{why[1:]}."
    )


def headline(judged: Sequence[Judged], sentences: Sequence[str], reasons: Sequence[str]) -> str:
    """Return the sentence with which a report opens: the primary's, or else the first.

    `reasons` say why runs were left out.
    """
    if sentences:
        return sentences[0]
    methods = sum(len(part.group.methods) for part in judged)
    if methods == 1:
        name = judged[0].group.baseline.name
        return f"There is only one method, {name}, so nothing is compared."
    why = "; ".join(dict.fromkeys(reasons)) or "there are no runs with evaluations"
    return f"Nothing can be judged: {why}."


def title(metric: str) -> str:
    """Return the name of a metric in a sentence: abbreviations such as fd in capital letters."""
    return metric.upper() if len(metric) <= 3 else metric


def rounded(x: float) -> str:
    """Return a positive number with three significant digits, but no digit before the decimal point
    is dropped."""
    if not math.isfinite(x) or x == 0:
        return f"{x:g}"
    return f"{x:,.{max(0, 2 - math.floor(math.log10(abs(x))))}f}"


def seeds(counts: Sequence[int]) -> str:
    """Return numbers of seeds of both methods: ``8 seeds each``, or ``8 and 5 seeds``."""
    if len(set(counts)) > 1:
        return f"{counts[0]} and {counts[1]} seeds"
    return "1 seed each" if counts[0] == 1 else f"{counts[0]} seeds each"


def _time(c: Comparison, time: TimeRatio, metric: Metric) -> str:
    """Return the ratio of times, without the word."""
    goal = f"{title(metric.name)} {rounded(c.target.value)}"
    cost = f"{c.baseline}'s {CLOCKS[c.clock]}"
    about = seeds(time.seeds)
    if time.reached != time.seeds:
        about += (
            f"; reached by {time.reached[0]} of {time.seeds[0]} and "
            f"{time.reached[1]} of {time.seeds[1]} runs"
        )
    if time.estimate is not None:
        ends = bounds(time.low, time.high)
        return (
            f"{c.method} reached {goal} in {ratio(time.estimate)} times {cost} (95 % interval "
            f"{ends}, {about})"
        )
    if time.low > 0:
        limit = f"more than {ratio(time.low)}"
    elif time.high < math.inf:
        limit = f"less than {ratio(time.high)}"
    else:
        limit = "an unknown multiple of"
    times = "" if limit.endswith("of") else " times"
    return f"{c.method} needs {limit}{times} {cost} to reach {goal} (95 % bound, {about})"


def _quality(c: Comparison, quality: QualityRatio, metric: Metric) -> str:
    """Return the ratio of the metric at equal cost, without the word."""
    clock = CLOCKS[c.clock]
    about = f"90 % interval {bounds(quality.low90, quality.high90)}, {quality.pairs} seeds"
    return (
        f"At {c.baseline}'s {clock}, {c.method}'s {title(metric.name)} is {ratio(quality.ratio)} "
        f"times {c.baseline}'s ({about})"
    )


def _why_not(c: Comparison, metric: Metric) -> str:
    if c.reason == "never reached" and c.time:
        goal = f"{title(metric.name)} {rounded(c.target.value)}"
        return f"no run of either reached {goal} ({seeds(c.time.seeds)})"
    if c.reason == "first evaluation":
        goal = f"{title(metric.name)} {rounded(c.target.value)}"
        return f"most runs had reached {goal} by their first evaluation; evaluate more often"
    if c.reason == "too few seeds" and c.time:
        why = f"{seeds(c.time.seeds)} cannot show a difference, 6 each can"
        if c.time.estimate is None:
            return why
        return (
            f"{why} (estimate: {ratio(c.time.estimate)} times {c.baseline}'s {CLOCKS[c.clock]} to "
            f"{title(metric.name)} {rounded(c.target.value)})"
        )
    return f"the {CLOCKS[c.clock]} of a run is unknown"


def _reason(c: Comparison, time: TimeRatio) -> str:
    if c.reason == "corrected":
        return " once corrected for the number of comparisons"
    if c.reason == "unreliable":
        winner = 0 if time.high <= 1 else 1
        needed, have = least_reached(time.seeds[winner]), time.seeds[winner]
        name = (c.method, c.baseline)[winner]
        how = f"{needed} of {have} would show it" if needed <= have else "that takes 6 seeds"
        return f", because {name} is not shown to reach it in most of its runs ({how})"
    return ""


def more_seeds(c: Comparison, margin: float) -> int | None:
    """Return how many more seeds would probably decide a comparison; None if it is decided."""
    undecided = c.word in ("no clear difference", "cannot be judged")
    return seeds_to_decide(c.time, c.quality, margin) if undecided else None


def _more(c: Comparison, margin: float) -> str:
    more = more_seeds(c, margin)
    if more is None:
        return ""
    if more > 100:
        return " More than 100 more seeds each would be needed to decide it."
    return f" About {more} more seed{'s' if more > 1 else ''} each would probably decide it."
