"""Numbers as people read them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

UNKNOWN = "\N{EN DASH}"

METRIC_TITLES = {
    "fd": "Fréchet distance",
    "fid": "Fréchet Inception distance",
    "cs": "classifier score",
    "is": "Inception Score",
    "kid": "kernel distance",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "modes": "modes covered",
    "kl_uniform": "KL from even classes",
    "kl_data": "KL from the data's classes",
}

PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")


def metric_title(name: str) -> str:
    """What the metric called `name` is, for example ``Fréchet distance (fd)``."""
    title = METRIC_TITLES.get(name)
    return name if title in (None, name) else f"{title} ({name})"


def number(value: float | None, like: float | None = None) -> str:
    """Three significant digits or all that stand before the point; `like`: as many as that has."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    measure = abs(value if like is None else like)
    if measure and measure < 1e-4:
        return f"{value:.2e}"
    decimals = 2 if not measure else max(0, min(6, 2 - math.floor(math.log10(measure))))
    text = f"{value:,.{decimals}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


def interval(estimate: Mapping[str, Any] | None) -> str:
    """A mean with its 95 % interval, as ``20.1 (18.9 to 21.3)``; the mean alone where none is."""
    if not estimate or estimate.get("mean") is None:
        return UNKNOWN
    mean, low, high = (estimate.get(key) for key in ("mean", "low", "high"))
    if low is None or high is None:
        return number(mean)
    return f"{number(mean)} ({number(low, like=mean)} to {number(high, like=mean)})"


def at_most(speedup: Mapping[str, Any]) -> str:
    """A ratio with its interval, or what is known of it where runs never arrived."""
    mean, low, high = (speedup.get(key) for key in ("mean", "low", "high"))
    if mean is None:
        return UNKNOWN
    if low is None and speedup.get("censored"):
        return f"at most {number(mean)}" + (f" (up to {number(high, mean)})" if high else "")
    return interval(speedup)


def count(value: float | None) -> str:
    """A whole number with its thousands apart."""
    return UNKNOWN if value is None else f"{round(value):,}"


def duration(seconds: float | None) -> str:
    """Seconds in the unit that suits them."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    factor, unit = time_unit(seconds)
    return f"{number(seconds * factor)} {unit}"


def time_unit(highest: float) -> tuple[float, str]:
    """The factor from seconds to the unit that suits times up to `highest`."""
    if highest < 300:
        return 1.0, "s"
    return (1 / 60, "min") if highest < 3 * 3600 else (1 / 3600, "h")


def si_unit(highest: float, unit: str) -> tuple[float, str]:
    """The factor and the prefixed unit that suit values up to `highest`: 3e12 has 1e-12, TFLOP."""
    power = 0 if highest < 1 else min(len(PREFIXES) - 1, int(math.log10(highest) / 3 + 1e-9))
    return 1000.0**-power, PREFIXES[power] + unit


def unit_for(key: str, highest: float) -> tuple[float, str]:
    """The factor and the unit that suit seconds, flops or images up to `highest`."""
    if key == "seconds":
        return time_unit(highest)
    return si_unit(highest, "FLOP") if key == "flops" else (1.0, "images")


def quantity(value: float | None, unit: str) -> str:
    """A value with its unit, prefixed: ``1.24 PFLOP``."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    factor, prefixed = si_unit(abs(value), unit)
    return f"{number(value * factor)} {prefixed}"


def percent(share: float | None) -> str:
    """0.123 as ``12 %``."""
    return UNKNOWN if share is None else f"{100 * share:.0f} %"


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def plural(amount: int, word: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{amount:,} {word}{'' if amount == 1 else 's'}"


def setting(value: object) -> str:
    """A value of a config as its file has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or "(empty)"
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value)) or "(empty)"
    return UNKNOWN if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def mean(values: Sequence[float | None]) -> float | None:
    """Of what is known."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
