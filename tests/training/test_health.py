"""What a person would notice in the rows of a run, with made-up rows."""

from typing import Any

import pytest

from d3gan.gan.objectives import OBJECTIVES
from d3gan.training import health
from d3gan.training.health import Expectations

CHANCE = 1.386
EXPECTED = Expectations(1000, chance=(CHANCE, CHANCE))


def losses(
    discriminators: list[list[float | None]], generator: float = 0.7
) -> list[dict[str, Any]]:
    """Return rows of 50 steps, one for each list of losses."""
    return [
        {"kind": "train", "step": 50 * n, "epoch": n / 2, "loss_d": each, "loss_g": generator}
        for n, each in enumerate(discriminators, start=1)
    ]


def evaluations(
    values: list[float], *, error: float = 0.01, modes: float = 10.0, name: str = "fd"
) -> list[dict[str, Any]]:
    """Return the evaluation at step 0, and one after every 100 steps."""
    return [
        {
            "kind": "eval",
            "step": 100 * n,
            "epoch": float(n),
            "monitor": name,
            name: value,
            f"{name}_stderr": error,
            "modes": modes,
            "protocol": {"real_modes": 10},
        }
        for n, value in enumerate([50.0, *values])
    ]


def names(findings: list[health.Finding]) -> list[str]:
    return [found.name for found in findings]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (losses([[1.2, 1.3]] * 20), []),
        (losses([[0.01, 0.02]] * 20), ["discriminators_won"]),
        (losses([[0.01, 1.2]] * 20), ["a_discriminator_won"]),
        (losses([[1.2, 0.01]] * 20), ["a_discriminator_won"]),
        (losses([[0.01, 0.01]] * 4), []),  # not for long
        (losses([[0.01, 0.01]] * 20 + [[1.0, 1.0]]), []),  # it has recovered
        (losses([[None, 0.5]] * 20), []),
        (losses([[0.6, 0.6]], 4900.0), []),  # one row may be a spike
        (losses([[0.6, 0.6]] * 2, 4900.0), ["losses_exploded"]),
        (losses([[0.6, 4900.0]] * 2), ["losses_exploded"]),
        ([], []),
    ],
)
def test_losses(rows: list[dict[str, Any]], found: list[str]) -> None:
    assert names(health.of_losses(rows, EXPECTED)) == found


def test_low_losses_must_last_for_a_share_of_a_long_run() -> None:
    rows = losses([[0.01, 0.01]] * 20)
    long = Expectations(100_000, chance=EXPECTED.chance)
    assert health.of_losses(rows, long) == []
    (found,) = health.of_losses(rows, EXPECTED)
    assert found.text == "all discriminators have won: losses below 0.069 since epoch 0.5"


def test_losses_without_a_lower_limit_are_neither_low_nor_soon_high() -> None:
    unbounded = Expectations(1000)
    assert health.of_losses(losses([[-300.0, 0.0]] * 20), unbounded) == []
    assert names(health.of_losses(losses([[-3000.0, 0.0]] * 2), unbounded)) == ["losses_exploded"]


@pytest.mark.parametrize(
    ("values", "error", "found"),
    [
        ([9.0, 4.0, 5.2, 5.3, 5.5], 0.01, ["metric_worse"]),
        ([9.0, 4.0, 4.8, 4.9, 4.8], 0.01, []),  # less than 25 % worse
        ([9.0, 4.0, 5.2, 5.3, 5.5], 0.5, []),  # within the noise
        ([9.0, 4.0, 5.2, 4.5, 5.5], 0.01, []),  # not in a row
        ([4.0, 5.2, 5.5], 0.01, []),  # too few
        ([9.0, 8.0, 7.0, 6.0, 5.0], 0.01, []),
    ],
)
def test_a_metric_that_rises(values: list[float], error: float, found: list[str]) -> None:
    assert names(health.of_evaluations(evaluations(values, error=error), EXPECTED)) == found


def test_a_metric_of_which_more_is_better() -> None:
    expected = Expectations(1000, lower_is_better=False)
    rows = evaluations([2.0, 9.0, 6.0, 5.0, 4.0], name="is")
    (found,) = health.of_evaluations(rows, expected)
    assert found.text == "is has been falling since epoch 2: 9 then, 4 now"
    assert health.of_evaluations(evaluations([2.0, 3.0, 4.0, 5.0], name="is"), expected) == []


def test_the_initial_generator_counts_for_nothing() -> None:
    rows = evaluations([60.0, 70.0, 80.0])
    rows[0]["fd"] = 1.0
    assert health.of_evaluations(rows, EXPECTED) == []


@pytest.mark.parametrize(
    ("modes", "count", "found"),
    [(1.0, 2, ["collapsed"]), (2.0, 2, ["collapsed"]), (3.0, 2, []), (1.0, 1, [])],
)
def test_one_mode_only(modes: float, count: int, found: list[str]) -> None:
    assert names(health.of_evaluations(evaluations([5.0] * count, modes=modes), EXPECTED)) == found


def test_few_modes_are_normal_at_first() -> None:
    rows = evaluations([5.0, 5.0], modes=1.0)
    assert health.of_evaluations(rows, Expectations(10_000)) == []
    for row in rows:
        row["protocol"] = {"real_modes": None}
        del row["modes"]  # features without classes
    assert health.of_evaluations(rows, EXPECTED) == []


@pytest.mark.parametrize(
    ("spreads", "found"),
    [
        ([(0, 0.1), (200, 0.1), (400, 0.1)], ["constant_samples"]),
        ([(0, 0.1), (400, 0.1)], []),
        ([(0, 0.1), (50, 0.1), (90, 0.1)], []),
        ([(200, 0.1), (400, 30.0)], []),
        ([], []),
    ],
)
def test_constant_samples(spreads: list[tuple[int, float]], found: list[str]) -> None:
    assert names(health.of_samples(spreads)) == found


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_chance_losses_of_every_objective(name: str) -> None:
    """Those of which a perfect discriminator has no loss are known."""
    known = {"saturating": 1.386, "non_saturating": 1.386, "hinge": 2.0, "least_squares": 0.5,
             "relativistic": 0.693}  # fmt: skip
    count = 2
    chance = health.chance_losses(OBJECTIVES.build(name), count)
    if name in known:
        assert chance == pytest.approx((known[name],) * count, abs=1e-3)
    if name in ("wasserstein", "d2gan"):
        assert chance == ()
    assert len(chance) in (0, count)
    assert all(loss > 0 for loss in chance)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([], "no sign of divergence in its losses and samples; it was not evaluated"),
        (evaluations([5.0]), "looks healthy: fd 5 at epoch 1 (best)"),
        (evaluations([5.0])[1:], "too early to judge: fd 5 at epoch 1 is the only evaluation"),
        (
            evaluations([60.0]),
            "too early to judge: fd 60 at epoch 1, not better than before training (50)",
        ),
        (
            evaluations([60.0, 55.0, 58.0]),
            "no improvement: fd 55 at epoch 2, not better than before training (50)",
        ),
        (
            evaluations([5.0, 6.0])[1:],
            "too early to judge: best fd 5 at epoch 1; now 6 at epoch 2",
        ),
        (
            evaluations([9.0, 5.0]),
            "looks healthy: fd 5 at epoch 2 (best), still improving; train longer with "
            "--train.epochs 40",
        ),
        (evaluations([5.0, 4.99]), "looks healthy: fd 4.99 at epoch 2 (best)"),
        (evaluations([5.0, 5.01]), "looks healthy: best fd 5 at epoch 1; now 5.01 at epoch 2"),
        (
            evaluations([5.0, 5.5]),
            "no sign of divergence, but no longer improving: best fd 5 at epoch 1; now 5.5 at "
            "epoch 2",
        ),
    ],
)
def test_verdicts(rows: list[dict[str, Any]], line: str) -> None:
    assert health.verdict([], rows, EXPECTED, epochs=20) == line


def test_a_verdict_names_a_warning_that_no_longer_holds() -> None:
    line = health.verdict([], [], EXPECTED, epochs=20, earlier=["the losses have exploded"])
    assert line == "recovered after a warning: the losses have exploded"


def test_a_verdict_names_what_was_found_and_what_was_measured() -> None:
    found = health.of_samples([(200, 0.0), (400, 0.0)])
    assert health.verdict(found, [], EXPECTED, epochs=20).startswith(
        "does not look healthy: all samples look the same at step 400; this is mode collapse"
    )
    line = health.verdict(
        [], evaluations([9.0, 5.0]), EXPECTED, epochs=20, measured={"fd": 5.5}, extendable=False
    )
    assert line == "looks healthy: fd 5.5 at epoch 2 (best), still improving"
