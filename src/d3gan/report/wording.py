"""Format numbers, units and settings for people."""

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from d3gan.evaluation.metrics.names import COUNTS

UNKNOWN: Final = "\N{EN DASH}"
"""Shown for a value that is not available."""

METRIC_TITLES: Final = {
    "fd": "Fréchet distance",
    "fid": "Fréchet Inception distance",
    "cs": "classifier score",
    "is": "Inception Score",
    "kd": "kernel distance",
    "kid": "Kernel Inception distance",
    "modes": "modes covered",
    "kl_uniform": "KL divergence from uniform classes",
    "kl_data": "KL divergence from the data's classes",
}

AXES: Final = {
    "seconds": "training time",
    "images": "images seen",
    "steps": "generator steps",
    "flops": "compute",
}
"""Clocks of a run, and their titles."""

_PREFIXES: Final = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")


def metric_title(name: str) -> str:
    """Return the metric's title, for example ``Fréchet distance (fd)``; without one, its name."""
    title = METRIC_TITLES.get(name)
    return f"{title} ({name})" if title else name


def number(value: float | None, like: float | None = None) -> str:
    """Format with three significant digits, or with as many decimals as `like` would have.

    Digits before the decimal point are never dropped.
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    measure = float(f"{abs(value if like is None else like):.2e}")  # 0.9996 becomes 1
    if measure and measure < 1e-4:
        return f"{value:.2e}".replace("e-0", "e-")
    decimals = 2 if not measure else max(0, min(6, 2 - math.floor(math.log10(measure))))
    text = f"{value:,.{decimals}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


def plain(value: float, digits: int) -> str:
    """Format with this number of significant digits, without an exponent that people would not
    write."""
    text = f"{value:.{digits}g}"
    return f"{Decimal(text):f}" if "e" in text and 1e-7 <= abs(value) < 1e9 else text


def metric_value(metric: str, value: float | None) -> str:
    """Format a value of a metric; a count is an integer, unless it is a mean of several."""
    if metric in COUNTS and value is not None and value == round(value):
        return count(value)
    return number(value)


def interval(estimate: Mapping[str, Any] | None, metric: str = "") -> str:
    """Format a mean with its 95 % interval, ``20.1 (18.9 to 21.3)``; without one, the mean.

    A count that is the same in all runs is shown alone.
    """
    if not estimate or estimate.get("mean") is None:
        return UNKNOWN
    mean, low, high = (estimate.get(key) for key in ("mean", "low", "high"))
    if low is None or high is None or (metric in COUNTS and low == mean == high):
        return metric_value(metric, mean)
    return f"{number(mean)} ({number(low, like=mean)} to {number(high, like=mean)})"


def ratio(value: float) -> str:
    """Format a ratio with two decimals, or three significant digits if it is small or large."""
    return f"{value:.2f}" if 0.1 <= value < 100 else number(value)


def bounds(low: float | None, high: float | None) -> str:
    """Format the ends of an interval of ratios, as far as they are known: ``0.64 to 0.91``."""
    if high is None or high == math.inf:
        return f"above {ratio(low)}" if low else "no bounds"
    return f"{ratio(low)} to {ratio(high)}" if low else f"below {ratio(high)}"


def ratio_interval(found: Mapping[str, Any] | None) -> str:
    """Format a ratio with its interval, ``0.76 (0.64 to 0.91)``.

    The ratio is the value of the key `estimate` or `ratio`.
    """
    found = found or {}
    value, low, high = (
        found.get("estimate", found.get("ratio")),
        found.get("low"),
        found.get("high"),
    )
    if value is None and not low and high is None:
        return UNKNOWN
    return f"{'unknown' if value is None else ratio(value)} ({bounds(low, high)})"


def probability(p: float | None) -> str:
    """Format a p-value."""
    if p is None:
        return UNKNOWN
    return "below 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def plus_minus(mean: float | None, error: float | None) -> str:
    """Format a mean with its standard error: ``12.4 ± 0.3``; without an error, the mean.

    Both have the decimals of a mean with three digits, or with four if the error is small.
    """
    if mean is None or error is None:
        return number(mean)
    like = min(abs(mean), max(abs(error) * 100, abs(mean) / 10)) if error else mean
    text = number(error, like=like)
    return f"{number(mean, like=like)} ± {text if text.strip('0.') or not error else number(error)}"


def count(value: float | None) -> str:
    """Format as an integer with thousands separators."""
    return UNKNOWN if value is None else f"{round(value):,}"


def duration(seconds: float | None) -> str:
    """Format a time in seconds, minutes or hours."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    factor, unit = time_unit(seconds)
    return f"{number(seconds * factor) if seconds else 0} {unit}"


def time_unit(highest: float) -> tuple[float, str]:
    """Return the factor from seconds to the unit for times up to `highest`, and the unit."""
    if highest < 300:
        return 1.0, "s"
    return (1 / 60, "min") if highest < 3 * 3600 else (1 / 3600, "h")


def si_unit(highest: float, unit: str) -> tuple[float, str]:
    """Return factor and prefixed unit for values up to `highest`: (1e-12, "TFLOP") for 3e12."""
    power = 0 if highest < 1 else min(len(_PREFIXES) - 1, int(math.log10(highest) / 3 + 1e-9))
    return 1000.0**-power, _PREFIXES[power] + unit


def quantity(value: float | None, unit: str) -> str:
    """Format a value with its unit and SI prefix: ``1.24 PFLOP``."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    factor, prefixed = si_unit(abs(value), unit)
    return f"{number(value * factor) if value else 0} {prefixed}"


def amount(axis: str, value: float | None) -> str:
    """Format what a run spent on one of its clocks, with its unit."""
    if axis == "seconds":
        return duration(value)
    return quantity(value, "FLOP") if axis == "flops" else f"{count(value)} {axis}"


def axis_unit(axis: str, highest: float) -> tuple[float, str]:
    """Return factor and label of a chart's axis for a clock that goes up to `highest`."""
    if axis in ("images", "steps"):
        factor, unit = (1e-6, "millions") if highest >= 2e6 else (1e-3, "thousands")
        return (factor, f"{AXES[axis]}, {unit}") if highest >= 1e4 else (1.0, AXES[axis])
    factor, unit = time_unit(highest) if axis == "seconds" else si_unit(highest, "FLOP")
    return factor, f"{AXES[axis]}, {unit}"


def percent(share: float | None) -> str:
    """Format 0.123 as ``12 %``."""
    return UNKNOWN if share is None else f"{100 * share:.0f} %"


def listed(words: Sequence[str]) -> str:
    """Join words: ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def plural(amount: int, word: str) -> str:
    """Format a number of things: ``1 seed``, ``2 seeds``."""
    return f"{amount:,} {word}{'' if amount == 1 else 's'}"


def shortened(text: str, longest: int) -> str:
    """Return at most `longest` printable characters, shortened in the middle."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    if len(plain) <= longest:
        return plain
    return f"{plain[: longest // 2 - 2]}...{plain[-(longest - longest // 2 - 1) :]}"


def setting(value: object) -> str:
    """Format a value of a configuration as its file shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or "(empty)"
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value)) or "(empty)"
    if isinstance(value, float):
        return f"{value:.15g}".replace("e-0", "e-")
    return UNKNOWN if value is None else str(value)


def tick(value: float) -> str:
    """Format a value of an axis."""
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"


def finite(values: Iterable[float | None]) -> list[float]:
    """Return the values that are known."""
    return [value for value in values if value is not None and math.isfinite(value)]


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are known, or None if none is."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
