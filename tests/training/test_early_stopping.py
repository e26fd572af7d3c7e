from typing import Any

import pytest

from d3gan.errors import UserError
from d3gan.training.early_stopping import Monitor


def row(step: int, value: float, error: float = 0.1) -> dict[str, Any]:
    return {"step": step, "fd": value, "fd_stderr": error, "protocol": {"features": "f"}}


def test_any_gain_is_the_best_but_patience_asks_for_more_than_the_standard_error() -> None:
    monitor = Monitor("fd", "lower", patience=3)
    values = [5.0, 4.0, 3.95, 3.93, 3.0, 3.1, 2.99, 2.98]
    best = [monitor.update(row(step, value)) for step, value in enumerate(values, start=1)]
    assert best == [True, True, True, True, True, False, True, True]
    assert monitor.exhausted
    assert monitor.best is not None
    assert monitor.best["step"] == 8


def test_small_gains_add_up() -> None:
    """Each is within the standard error of the one before, but not of the first."""
    monitor = Monitor("fd", "lower", patience=3)
    for step in range(1, 21):
        monitor.update(row(step, 5.0 - 0.08 * step))
        assert not monitor.exhausted


def test_higher_may_be_better() -> None:
    monitor = Monitor("fd", "higher", patience=1)
    assert [monitor.update(row(1, 1.0)), monitor.update(row(2, 2.0))] == [True, True]
    assert not monitor.exhausted
    assert not monitor.update(row(3, 1.0))
    assert monitor.exhausted


def test_the_initial_generator_is_neither_the_best_nor_counts_for_patience() -> None:
    monitor = Monitor("fd", "lower", patience=2)
    assert not monitor.update(row(0, 1.0))
    assert monitor.best is None
    assert monitor.update(row(1, 5.0))
    assert not monitor.update(row(2, 5.0))
    assert not monitor.exhausted
    assert not monitor.update(row(3, 5.0))
    assert monitor.exhausted


def test_patience_of_zero_never_stops() -> None:
    monitor = Monitor("fd", "lower", patience=0)
    for step in range(1, 51):
        monitor.update(row(step, 1.0))
    assert not monitor.exhausted


def test_rows_of_another_protocol_are_refused() -> None:
    monitor = Monitor("fd", "lower", patience=0)
    monitor.update(row(1, 1.0))
    with pytest.raises(UserError, match="step 1 and step 2 cannot be compared"):
        monitor.update(row(2, 1.0) | {"protocol": {"features": "g"}})
