"""The verdict of a comparison in words, and the warnings about its numbers."""

from collections.abc import Mapping, Sequence

from d3gan.study.methods import Method
from d3gan.study.statistics import Speedup

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def sentence(name: str, baseline: str, metric: str, speedup: Speedup, seeds: int) -> str:
    """Return the verdict on one method against the baseline, as one or two sentences.

    `seeds` is the number of seeds that both have.
    """
    mean, low, high, pairs = speedup.mean, speedup.low, speedup.high, speedup.pairs
    best = f"{baseline}'s best {_title(metric)}"
    undecided = f"No clear difference between {name} and {baseline}."
    if mean is None or pairs == 0:
        why = (
            f"no run of {baseline} with a common seed has an evaluation"
            if seeds
            else "they have no seed in common"
        )
        return f"{name} and {baseline} cannot be compared: {why}."
    if speedup.censored:
        never = f"{_counted(speedup.censored, pairs)} never reached {best}"
        if high is not None and high < 1:
            return (
                f"{name} is slower than {baseline}: {never} (speed-up at most {rounded(mean)}, "
                f"95 % upper bound {rounded(high)})."
            )
        return (
            f"{undecided} {never[:1].upper()}{never[1:]}, so the speed-up is unknown "
            f"(at most {rounded(mean)})."
        )
    reached = f"reached {best} in {rounded(1 / mean)} times its training time"
    if low is None or high is None:
        why = "one seed gives no interval" if pairs == 1 else "no interval could be computed"
        return f"{undecided} {name} {reached} (speed-up {rounded(mean)}), but {why}."
    interval = f"95 % interval {rounded(low)} to {rounded(high)}, {pairs} pairs of seeds"
    if low <= 1 <= high:
        return (
            f"{undecided} {name} {reached} (speed-up {rounded(mean)}, {interval}), "
            "but the interval includes 1."
        )
    word = "faster" if low > 1 else "slower"
    return f"{name} is {word} than {baseline}: it {reached} (speed-up {rounded(mean)}, {interval})."


def combined(sentences: Mapping[str, str]) -> str:
    """Return all verdicts as one text."""
    if not sentences:
        return "Only one method: nothing to compare."
    text = " ".join(sentences.values())
    if len(sentences) > 1:
        text += " Each interval holds for its own comparison, not for all of them together."
    return text


def rounded(x: float) -> str:
    """Return a ratio with two decimals, or more where these would show 1 or 0 for another value."""
    short = f"{x:.2f}"
    if short == "1.00" and x != 1:
        return f"{x:.6g}"
    return short if 0.1 <= x < 1000 else f"{x:.3g}"


def _title(metric: str) -> str:
    """Return the name of a metric in a sentence: abbreviations such as fd in capital letters."""
    return metric.upper() if len(metric) <= 3 else metric


def _counted(count: int, total: int) -> str:
    """Return for example ``two of three runs``."""
    part, all_ = (_NUMBERS[n] if n < len(_NUMBERS) else str(n) for n in (count, total))
    return f"{part} of {all_} runs" if total > 1 else "its only run"


def warnings(baseline: Method, methods: Sequence[Method]) -> list[str]:
    """Return what limits the meaning of the numbers: one text for each circumstance."""
    records = [record for method in methods for record in method.records]
    circumstances = {
        "did not finish; their results may still change": [
            record.name for record in records if record.outcome == "unfinished"
        ],
        "diverged and are missing from the means after that": [
            record.name for record in records if record.outcome == "diverged"
        ],
        "come from an older version, which did not count operations, so that nothing is compared "
        "at equal compute": [record.name for record in records if not record.knows("flops")],
    }
    found = [
        f"{len(names)} of {len(records)} runs {what}: {', '.join(names)}"
        for what, names in circumstances.items()
        if names
    ]
    seeds = {record.seed for record in baseline.records}
    for method in methods:
        alone = sorted(seeds ^ {record.seed for record in method.records})
        if alone:
            listed = ", ".join(map(str, alone))
            found.append(
                f"{method.name} and {baseline.name} do not share seeds {listed}, "
                "which are in no pair"
            )
    places = {place for record in records if (place := record.hardware())}
    if len(places) > 1:
        found.append(
            "the runs used different hardware, so that their training times are not comparable: "
            + "; ".join(sorted(places))
        )
    return found
