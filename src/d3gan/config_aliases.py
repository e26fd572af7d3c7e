"""Old keys of the configuration, and the keys that replace them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from d3gan.errors import UserError
from d3gan.fields import Range, checked
from d3gan.registry import parse_call

ALIASES: dict[str, Any] = {
    "gan.r1_gamma": Annotated[float, Range(0, 1e12)],
    "train.engine": str,
    "train.shared_memory": bool,
}
"""The old keys, and the type and range of their values."""


def current_key(key: str) -> str:
    """Return the key in which the value of an old key is found; other keys stay as they are."""
    return "gan.penalties" if key == "gan.r1_gamma" else key


def migrate(values: Mapping[str, Any], penalties: Sequence[str], origin: str) -> dict[str, Any]:
    """Return `values`, nested as in TOML, with current keys in place of old ones.

    ``gan.r1_gamma`` replaces R1 among the penalties, which are `penalties` unless the values have
    some. ``train.engine`` and ``train.shared_memory`` have no effect. `origin` precedes error
    messages. Raises UserError for a value that is not allowed.

    The metric ``kid`` was the name with all features. Values that name other features than
    Inception's, as saved configurations do, mean ``kd``.
    """
    values = {k: dict(v) if isinstance(v, Mapping) else v for k, v in values.items()}
    evaluation = values.get("eval")
    if isinstance(evaluation, dict) and evaluation.get("features", "inception") != "inception":
        if evaluation.get("monitor") == "kid":
            evaluation["monitor"] = "kd"
        if isinstance(names := evaluation.get("metrics"), list | tuple):
            evaluation["metrics"] = ["kd" if name == "kid" else name for name in names]
    old = {}
    for key, hint in ALIASES.items():
        section, _, name = key.partition(".")
        if isinstance(values.get(section), dict) and name in values[section]:
            old[key] = checked(hint, values[section].pop(name), f"{origin}{key}")
    if old.get("train.engine", "fast") != "fast":
        raise UserError(
            f"{origin}train.engine = {old['train.engine']!r}: there is one engine now; "
            "'d3gan bench step' times the baseline beside it"
        )
    if (gamma := old.get("gan.r1_gamma")) is not None:
        gan = values["gan"]
        present = gan.get("penalties", penalties)
        if isinstance(present, list | tuple):  # any other value is refused as gan.penalties
            kept = [text for text in present if parse_call(str(text))[0] != "r1"]
            gan["penalties"] = [*kept, f"r1(gamma={gamma})"] if gamma else kept
    return values
