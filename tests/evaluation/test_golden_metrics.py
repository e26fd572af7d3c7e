"""Every metric of fixed features and logits has the value recorded for this protocol version.

If a value changes on purpose, increase `d3gan.evaluation.protocol.VERSION` and renew the values,
never one without the other: ``python -m tests.evaluation.test_golden_metrics``.
"""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from d3gan.evaluation.metrics import table
from d3gan.evaluation.metrics.names import metric_names
from d3gan.evaluation.protocol import VERSION
from d3gan.evaluation.statistics import Statistics
from d3gan.rng import Stream, normal

FILE = Path(__file__).parents[1] / "golden" / "metrics.json"
DIMENSIONS, CLASSES = 8, 5


def fixed(count: int, shift: float) -> tuple[Tensor, Tensor]:
    """Return normal features [count, 8] and logits [count, 5] around `shift`."""
    numbers = normal(0, Stream.NOISE, int(10 * shift), torch.arange(count), DIMENSIONS + CLASSES)
    features, logits = numbers.split((DIMENSIONS, CLASSES), dim=1)
    return (features + shift).float(), (2 * logits - 6 * shift * torch.arange(CLASSES)).float()


def statistics(count: int, shift: float) -> Statistics:
    found = Statistics.empty(count, DIMENSIONS, CLASSES, torch.device("cpu"), keep=True)
    found.add(*fixed(count, shift), 0, torch.arange(count) % CLASSES)
    return found


def measured(features: str) -> dict[str, list[float]]:
    """Return every number with these features, and its standard error."""
    asked = tuple(metric_names(features))
    numbers = table.compute(statistics(300, 0.0), statistics(250, 0.5), asked, features)
    return {name: list(estimate) for name, estimate in numbers.items()}


@pytest.mark.parametrize("features", ["classifier", "inception"])
def test_metrics_have_the_values_of_this_version(features: str) -> None:
    golden = json.loads(FILE.read_text(encoding="utf-8"))
    found = measured(features)
    changed = [
        name
        for name, expected in golden[features].items()
        if found[name] != pytest.approx(expected, rel=1e-6, abs=1e-12)
    ]
    if golden["version"] == VERSION:
        assert not changed, "these numbers changed: increase VERSION of the protocol and renew"
    assert golden["version"] == VERSION, "VERSION changed: renew the values together with it"
    assert list(found) == list(golden[features])


def test_every_number_is_sensitive() -> None:
    """None of the values is at a bound, where a change of code might not show."""
    for features in ("classifier", "inception"):
        for name, (value, error) in measured(features).items():
            assert value not in (0.0, 1.0), name
            assert error > 0 or name == "modes", name


if __name__ == "__main__":
    values = {features: measured(features) for features in ("classifier", "inception")}
    FILE.write_text(json.dumps({"version": VERSION, **values}, indent=2) + "\n", encoding="utf-8")
