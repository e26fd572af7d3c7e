"""How often the runs of a method diverged or collapsed, against the baseline's."""

from collections.abc import Sequence
from typing import Any

from scipy.special import comb

from d3gan.study.methods import Method
from d3gan.study.records import Record


def stability(method: Method, baseline: Method, collapsed_below: float) -> dict[str, Any]:
    """Return the numbers of runs that diverged and that collapsed, with exact p-values.

    A run collapsed if its last evaluation covers less than the share `collapsed_below` of the modes
    that the classifier finds among the real images. A count is None if that is unknown for a run;
    the p-values are None for the baseline itself and for unknown counts.
    """
    counts: dict[str, Any] = {"runs": len(method.records)}
    for name in ("diverged", "collapsed"):
        own, other = (_count(m.records, name, collapsed_below) for m in (method, baseline))
        counts[name] = own
        counts[f"p_{name}"] = None
        if method is not baseline and own is not None and other is not None:
            counts[f"p_{name}"] = fisher_p(own, len(method.records), other, len(baseline.records))
    return counts


def _count(records: Sequence[Record], name: str, collapsed_below: float) -> int | None:
    if name == "diverged":
        return sum(record.outcome == "diverged" for record in records)
    found = [collapsed(record, collapsed_below) for record in records]
    return None if None in found else sum(map(bool, found))


def collapsed(record: Record, below: float) -> bool | None:
    """Return whether a run's last evaluation covers less than a share of the real data's modes;
    None if either number is unknown."""
    if not record.evaluations:
        return None
    last = record.evaluations[-1]
    modes, real = last.get("modes"), last["protocol"].get("real_modes")
    return modes < below * real if modes is not None and real else None


def fisher_p(first: int, of_first: int, second: int, of_second: int) -> float:
    """Return the two-sided p-value of Fisher's exact test for two shares, `first` of `of_first`
    against `second` of `of_second`.

    Fisher 1935, "The logic of inductive inference": the sum of the probabilities of all tables with
    the same margins that are at most as probable as the one observed.
    """
    total, marked = of_first + of_second, first + second
    tables = range(max(0, marked - of_second), min(marked, of_first) + 1)
    chances = {
        k: comb(of_first, k, exact=True) * comb(of_second, marked - k, exact=True) for k in tables
    }
    extreme = sum(chance for chance in chances.values() if chance <= chances[first])
    return float(extreme / comb(total, marked, exact=True))
