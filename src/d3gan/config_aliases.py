"""Old keys of the configuration, and the keys that replace them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from d3gan.fields import Range, checked
from d3gan.registry import parse_call

NOT_NEGATIVE = Annotated[float, Range(0, 1e12)]

ALIASES: dict[str, type] = {
    "gan.r1_gamma": float,
}
"""The old keys and the types of their values."""


def migrate(values: Mapping[str, Any], penalties: Sequence[str], origin: str) -> dict[str, Any]:
    """Return `values`, nested as in TOML, with current keys in place of old ones.

    `penalties` are those of the configuration that the values are put over; `gan.r1_gamma` replaces
    R1 among them. `origin` precedes error messages. Raises UserError for a value out of range.
    """
    values = {k: dict(v) if isinstance(v, Mapping) else v for k, v in values.items()}
    gan = values.get("gan")
    if isinstance(gan, dict) and "r1_gamma" in gan:
        gamma = checked(NOT_NEGATIVE, gan.pop("r1_gamma"), f"{origin}gan.r1_gamma")
        present = gan.get("penalties", penalties)
        if isinstance(present, list | tuple):  # else the value is refused as that of gan.penalties
            kept = [text for text in present if parse_call(str(text))[0] != "r1"]
            gan["penalties"] = [*kept, f"r1(gamma={gamma})"] if gamma else kept
    return values
