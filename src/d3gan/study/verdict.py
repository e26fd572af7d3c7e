"""What a comparison says in words, and what should be known before it is believed."""

from collections.abc import Mapping, Sequence

from d3gan.study.methods import Method
from d3gan.study.statistics import Speedup


def sentence(name: str, baseline: str, metric: str, speedup: Speedup, seeds: int) -> str:
    """One sentence about a method against the baseline; `seeds` are those both have."""
    mean, low, high, pairs = speedup.mean, speedup.low, speedup.high, speedup.pairs
    best = f"{baseline}'s best {metric}"
    if mean is None or pairs == 0:
        why = (
            "no run of the baseline with its seed has an evaluation"
            if seeds
            else "they have no seed in common"
        )
        return f"{name} against {baseline}: not shown, because {why}."
    if pairs == 1:
        what = (
            f"{name} did not reach {best} (speed-up at most {told(mean)})"
            if speedup.censored
            else f"{name} reached {best} {_share(mean)} (speed-up {told(mean)})"
        )
        return f"{what}: not shown, because one seed alone gives no interval."
    if speedup.censored:
        least = "" if high is None else f", with 95 % confidence {told(high)}"
        what = (
            f"{name} did not reach {best} in {speedup.censored} of {pairs} pairs of seeds "
            f"(speed-up at most {told(mean)}{least})"
        )
        if high is not None and high < 1:
            return f"{what}: shown to be slower."
        return f"{what}: not shown, because a run that never came there leaves no lower limit."
    if low is None or high is None:
        return f"{name} against {baseline}: not shown, because no interval could be computed."
    interval = f"95 % interval {told(low)} to {told(high)}"
    what = (
        f"{name} reached {best} {_share(mean)} "
        f"(speed-up {told(mean)}, {interval}, {pairs} pairs of seeds)"
    )
    if low <= 1 <= high:
        return f"{what}: not shown, because the interval includes 1."
    return f"{what}: {'shown' if low > 1 else 'shown to be slower'}."


def combined(sentences: Mapping[str, str], baseline: str) -> str:
    """All sentences as one text."""
    if not sentences:
        return f"{baseline} stands alone: there is nothing to compare it with."
    text = " ".join(sentences.values())
    if len(sentences) > 1:
        text += " Each interval is for its own comparison, not for all of them together."
    return text


def _share(speedup: float) -> str:
    if speedup < 1:
        return f"in {told(1 / speedup)} times its training time"
    return f"in {told(1 / speedup)} of its training time"


def told(x: float) -> str:
    """Two decimals, and more where they would hide that a number is not 1, or is not 0."""
    short = f"{x:.2f}"
    if short == "1.00" and x != 1:
        return f"{x:.6g}"
    return short if 0.1 <= x < 1000 else f"{x:.3g}"


def warnings(baseline: Method, methods: Sequence[Method]) -> list[str]:
    """Circumstances that make the numbers say less than they seem to."""
    records = [record for method in methods for record in method.records]
    found = []
    for status, what in (
        ("unfinished", "did not finish, and more of them may change the result"),
        ("diverged", "diverged, and are missing from means after that"),
    ):
        names = [record.name for record in records if record.status == status]
        if names:
            count = f"{len(names)} of {len(records)} runs"
            found.append(f"{count} {what}: {', '.join(names)}")
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
            "runs were made on different hardware, so that their seconds say little: "
            + "; ".join(sorted(places))
        )
    return found
