import pytest

from d3gan.report import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (20.123, "20.1"),
        (1.3149, "1.31"),
        (0.00938, "0.00938"),
        (480_000.4, "480,000"),
        (0.0, "0.00"),
        (-0.001, "-0.00100"),
        (0.99996, "1.00"),
        (0.1 + 0.2, "0.300"),
        (2e-7, "2.00e-7"),
        (None, wording.UNKNOWN),
        (float("inf"), wording.UNKNOWN),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert wording.number(value) == text


def test_an_interval_has_the_digits_of_its_mean() -> None:
    assert wording.interval({"mean": 20.13, "low": 18.91, "high": 21.349}) == "20.1 (18.9 to 21.3)"
    assert wording.interval({"mean": 9.99, "low": 9.123, "high": 10.857}) == "9.99 (9.12 to 10.86)"
    assert wording.interval({"mean": 20.13, "low": None, "high": None}) == "20.1"
    assert wording.interval({"mean": None}) == wording.interval(None) == wording.UNKNOWN
    assert wording.interval({"mean": 1e-9, "low": -0.5e-9, "high": 1e-9}).startswith("1.00e-9 (-5")
    assert wording.interval({"mean": 0.5, "low": -0.0001, "high": 1}) == "0.500 (0.000 to 1.000)"


def test_a_count_is_an_integer_unless_it_is_a_mean() -> None:
    same = {"mean": 10.0, "low": 10.0, "high": 10.0}
    assert wording.interval(same, "modes") == "10"
    assert wording.interval(same, "fd") == "10.0 (10.0 to 10.0)"
    assert wording.interval({"mean": 10.0, "low": None, "high": None}, "modes") == "10"
    assert (
        wording.interval({"mean": 9.5, "low": 8.5, "high": 10.5}, "modes") == "9.50 (8.50 to 10.50)"
    )
    assert [wording.tick(x) for x in (0.1 + 0.2, 1500.0, 2e6)] == ["0.3", "1,500", "2,000,000"]


def test_no_exponents_that_people_would_not_write() -> None:
    values = {4e-5: "0.00004", 12_345.6: "12350", 73.414: "73.41", 1e-9: "1e-09", 0.0: "0"}
    assert {value: wording.plain(value, 4) for value in values} == values


def test_a_ratio_shows_the_ends_that_are_known() -> None:
    known = {"estimate": 0.761, "low": 0.64, "high": 0.912}
    assert wording.ratio_interval(known) == "0.76 (0.64 to 0.91)"
    assert wording.ratio_interval({**known, "high": None}) == "0.76 (above 0.64)"
    assert wording.ratio_interval({**known, "low": None}) == "0.76 (below 0.91)"
    assert wording.ratio_interval({**known, "estimate": None}) == "unknown (0.64 to 0.91)"
    assert wording.ratio_interval({"ratio": 0.01234, "low": None}) == "0.0123 (no bounds)"
    assert wording.ratio_interval({"ratio": None}) == wording.UNKNOWN
    assert wording.ratio_interval(None) == wording.UNKNOWN


def test_a_probability_is_never_zero() -> None:
    values = {0.0004: "below 0.001", 0.0312: "0.031", 0.318: "0.32", 1.0: "1.00"}
    assert {p: wording.probability(p) for p in values} == values
    assert wording.probability(None) == wording.UNKNOWN


def test_a_mean_has_its_standard_error() -> None:
    assert wording.plus_minus(12.44, 0.311) == "12.4 ± 0.3"
    assert wording.plus_minus(110.23, 0.311) == "110.2 ± 0.3", "the error is not 0"
    assert wording.plus_minus(118.2, 61.3) == "118 ± 61"
    assert wording.plus_minus(109.979, 0.0021) == "110.0 ± 0.00210"
    assert wording.plus_minus(0.0, 0.5) == "0.00 ± 0.50"
    assert wording.plus_minus(0.5, 0.0) == "0.500 ± 0.000"
    assert wording.plus_minus(12.44, None) == "12.4"
    assert wording.plus_minus(None, None) == wording.UNKNOWN


def test_quantities_have_suitable_units() -> None:
    assert wording.duration(95.31) == "95.3 s"
    assert wording.duration(750) == "12.5 min"
    assert wording.duration(12600) == "3.50 h"
    assert wording.quantity(1.24e15, "FLOP") == "1.24 PFLOP"
    assert wording.quantity(1000, "B") == "1.00 kB"
    assert wording.quantity(0, "B") == "0 B"
    assert wording.percent(0.876) == "88 %"
    assert wording.count(1234567.2) == "1,234,567"


def test_texts() -> None:
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.plural(1, "seed") == "1 seed"
    assert wording.setting(True) == "true"
    assert wording.setting(["fd", "kd"]) == "fd, kd"
    assert wording.setting(2e-4) == "0.0002"
    assert wording.setting(2_500_000.0) == "2500000"
    assert wording.setting(0.1 + 0.2) == "0.3"
    assert wording.setting(1e-5) == "1e-5"
    assert wording.setting("") == "(empty)"
    assert wording.metric_title("fd") == "Fréchet distance (fd)"
    assert wording.metric_title("recall") == "recall"
    assert wording.mean([1.0, None, 3.0]) == 2.0
    assert wording.mean([None]) is None


@pytest.mark.parametrize(
    ("axis", "value", "text"),
    [
        ("seconds", 750.0, "12.5 min"),
        ("images", 12_000.0, "12,000 images"),
        ("steps", 1_500.0, "1,500 steps"),
        ("flops", 1.24e15, "1.24 PFLOP"),
    ],
)
def test_every_clock_has_a_title_and_a_unit(axis: str, value: float, text: str) -> None:
    assert wording.amount(axis, value) == text
    factor, label = wording.axis_unit(axis, value)
    assert label.startswith(wording.AXES[axis])
    assert 1 <= factor * value < 1500.5
