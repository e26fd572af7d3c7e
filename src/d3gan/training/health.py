"""Signs that a run goes wrong, as pure functions of its rows of metrics, and its final verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from d3gan.gan.objectives import JointObjective, Objective
from d3gan.progress import epoch_text

Row = Mapping[str, Any]
"""A row of metrics.jsonl."""

NEAR_ZERO = 0.05
"""Share of a discriminator's loss at chance below which it has won."""
LONG_STEPS, LONG_SHARE, LONG_ROWS = 200, 0.05, 5
"""A loss is near zero for long if that holds for so many steps, for this share of all steps, and
in so many rows."""

EXPLODED = 100.0
"""Absolute losses above this in two rows in a row have exploded; losses at chance are about 1."""
EXPLODED_UNBOUNDED = 1000.0
"""The same for objectives without a lower limit, such as Wasserstein's."""

RISING, RISING_EVALUATIONS, RISING_ERRORS = 1.25, 3, 3.0
"""A metric has become worse if it was so many times as bad as the best one in so many evaluations
in a row, by more than so many standard errors of the difference."""

WARM_UP_STEPS, WARM_UP_SHARE = 100, 0.1
"""Steps, and share of all steps, in which a generator may still make images of few kinds."""
FEW_MODES = 0.2
"""The generator has collapsed if it makes at most this share of the classes in two evaluations in
a row, after these steps and this share of all."""
CONSTANT_LEVELS = 2.0
"""Samples are constant if their grey levels (0 to 255) differ by less than this, as a standard
deviation, in two sample grids in a row after these steps."""


AGAINST_COLLAPSE = (
    "this is mode collapse: try more discriminators, gan.penalties = ['r1'] or lower rates"
)
"""Advice of all findings that the samples are too much alike."""


class Finding(NamedTuple):
    """A sign that a run goes wrong."""

    name: str
    """Identifier, the same in all runs."""
    text: str
    """What was seen."""
    advice: str

    def __str__(self) -> str:
        return f"{self.text}; {self.advice}"


@dataclass(frozen=True)
class Expectations:
    """What the rows of a run are compared with."""

    total_steps: int
    chance: tuple[float, ...] = ()
    """Loss of each discriminator that cannot tell real from generated images; empty if losses near
    zero mean nothing."""
    lower_is_better: bool = True
    """Whether lower values of the monitored metric are better."""


def chance_losses(objective: Objective, discriminators: int) -> tuple[float, ...]:
    """Return each discriminator's loss if all logits are zero; () if perfect ones have no loss 0.

    A perfect discriminator gives real and generated images the logits 50 and -50, or 1 and 0.
    """
    chance = _losses(objective, discriminators, 0.0, 0.0)
    perfect = [
        _losses(objective, discriminators, on_real, on_fake)
        for on_real, on_fake in ((50.0, -50.0), (1.0, 0.0))
    ]
    vanish = all(min(map(abs, losses)) < 1e-6 for losses in zip(*perfect, strict=True))
    return chance if vanish and min(chance) > 0 else ()


def _losses(
    objective: Objective, discriminators: int, on_real: float, on_fake: float
) -> tuple[float, ...]:
    real, fake = (torch.full((discriminators, 2), logit) for logit in (on_real, on_fake))
    if isinstance(objective, JointObjective):
        terms = objective.joint_discriminator(real, fake, lambda x: x.mean(dim=-1))
        return tuple(sum(terms.values()).mean(dim=-1).tolist())  # type: ignore[union-attr]
    losses = (objective.discriminator(real[k], fake[k], k) for k in range(discriminators))
    return tuple(float(sum(terms.values()).mean()) for terms in losses)  # type: ignore[union-attr]


# What goes wrong


def of_losses(rows: Sequence[Row], expected: Expectations) -> list[Finding]:
    """Return what the rows of kind "train" show, up to the last one."""
    return [*_exploded(rows, expected), *_won(rows, expected)]


def _exploded(rows: Sequence[Row], expected: Expectations) -> list[Finding]:
    limit = EXPLODED if expected.chance else EXPLODED_UNBOUNDED
    largest = [
        max((abs(loss) for loss in (*row["loss_d"], row["loss_g"]) if loss is not None), default=0)
        for row in rows[-2:]
    ]
    if len(largest) < 2 or min(largest) <= limit:
        return []
    return [
        Finding(
            "losses_exploded",
            f"the losses have exploded: {largest[-1]:,.0f} at {_when(rows[-1])}",
            "start a new run with lower optim.lr_g and optim.lr_d",
        )
    ]


def _won(rows: Sequence[Row], expected: Expectations) -> list[Finding]:
    since = [_low_since(rows, k, NEAR_ZERO * loss) for k, loss in enumerate(expected.chance)]
    needed = max(LONG_STEPS, LONG_SHARE * expected.total_steps)
    won = [
        k
        for k, first in enumerate(since)
        if first is not None
        and len(rows) - first >= LONG_ROWS
        and rows[-1]["step"] - rows[first]["step"] >= needed
    ]
    if not won:
        return []
    begun = rows[max(first for k in won if (first := since[k]) is not None)]
    if len(won) == len(since):
        name = "discriminators_won"
        who = "the discriminator has" if len(since) == 1 else "all discriminators have"
    else:
        name = "a_discriminator_won"
        numbers = ", ".join(map(str, won))
        who = f"discriminator {numbers} of 0 to {len(since) - 1} has"
    limit = NEAR_ZERO * max(expected.chance)
    return [
        Finding(
            name,
            f"{who} won: losses below {limit:.2g} since {_when(begun)}",
            "lower optim.lr_d, or add a penalty such as gan.penalties = ['r1']",
        )
    ]


def _low_since(rows: Sequence[Row], k: int, limit: float) -> int | None:
    """Return the first row since which discriminator k's loss is below the limit, if it is now."""
    first = None
    for place in reversed(range(len(rows))):
        loss = rows[place]["loss_d"][k]
        if loss is None or loss >= limit:
            break
        first = place
    return first


def of_evaluations(rows: Sequence[Row], expected: Expectations) -> list[Finding]:
    """Return what the rows of kind "eval" show, up to the last one."""
    rows = [row for row in rows if row["step"] > 0]
    return [*_collapsed(rows, expected), *_worse(rows, expected)]


def _collapsed(rows: Sequence[Row], expected: Expectations) -> list[Finding]:
    first = max(WARM_UP_STEPS, WARM_UP_SHARE * expected.total_steps)
    few = [
        row
        for row in [row for row in rows if row["step"] >= first][-2:]
        if "modes" in row
        and row["modes"] <= max(1.0, FEW_MODES * (row["protocol"].get("real_modes") or 0))
    ]
    if len(few) < 2:
        return []
    classes, modes = few[-1]["protocol"]["real_modes"], few[-1]["modes"]
    return [
        Finding(
            "collapsed",
            f"the generator makes only {modes:.0f} of {classes} classes at {_when(few[-1])}",
            AGAINST_COLLAPSE,
        )
    ]


def _worse(rows: Sequence[Row], expected: Expectations) -> list[Finding]:
    if len(rows) <= RISING_EVALUATIONS:
        return []
    best, name = best_evaluation(rows, expected), rows[-1]["monitor"]
    last = rows[-RISING_EVALUATIONS:]
    if not all(_clearly_worse(row, best, expected) for row in last):
        return []
    verb = "rising" if expected.lower_is_better else "falling"
    return [
        Finding(
            "metric_worse",
            f"{name} has been {verb} since {_when(best)}: {best[name]:.3g} then, "
            f"{last[-1][name]:.3g} now",
            "checkpoints/best.pt is kept; eval.patience ends such a run early",
        )
    ]


def best_evaluation(rows: Sequence[Row], expected: Expectations) -> Row:
    """Return the row with the best value of the monitored metric; `rows` must not be empty."""
    sign = 1 if expected.lower_is_better else -1
    return min(rows, key=lambda row: sign * row[row["monitor"]])


def _clearly_worse(row: Row, best: Row, expected: Expectations) -> bool:
    name = row["monitor"]
    ratio = RISING if expected.lower_is_better else 1 / RISING
    sign = 1 if expected.lower_is_better else -1
    error = math.hypot(row[f"{name}_stderr"], best[f"{name}_stderr"])
    worse = sign * (row[name] - best[name]), sign * (row[name] - ratio * best[name])
    return bool(worse[0] > RISING_ERRORS * error and worse[1] > 0)


def of_samples(spreads: Sequence[tuple[int, float]]) -> list[Finding]:
    """Return what sample grids show: their steps, and how much their images differ.

    The latter is the standard deviation over the images of a grid, as mean over pixels in [0, 255].
    """
    late = [spread for step, spread in spreads if step >= WARM_UP_STEPS][-2:]
    if len(late) < 2 or max(late) >= CONSTANT_LEVELS:
        return []
    return [
        Finding(
            "constant_samples",
            f"all samples look the same at step {spreads[-1][0]:,}",
            AGAINST_COLLAPSE,
        )
    ]


# The verdict


def verdict(
    found: Sequence[Finding],
    evaluations: Sequence[Row],
    expected: Expectations,
    *,
    epochs: float,
    earlier: Sequence[str] = (),
    measured: Mapping[str, float] | None = None,
    extendable: bool = True,
) -> str:
    """Return one line on a run of so many `epochs` that has ended.

    `found` holds at the end, and `earlier` are the warnings that do not; `measured` are the
    reported values of the best checkpoint; `extendable` says whether the run can be trained for
    longer.
    """
    if not found and earlier:
        return f"recovered after a warning: {'; '.join(earlier)}"
    if found:
        return f"does not look healthy: {'; '.join(map(str, found))}"
    rows = [row for row in evaluations if row["step"] > 0]
    if not rows:
        return "no sign of divergence in its losses and samples; it was not evaluated"
    first, best, last = evaluations[0], best_evaluation(rows, expected), rows[-1]
    name = best["monitor"]
    value = (measured or best).get(name, best[name])
    of_best = f"{name} {value:.3g} at {_when(best)}"
    if first is last:
        return f"too early to judge: {of_best} is the only evaluation"
    now = f"now {last[name]:.3g} at {_when(last)}"
    if not _improves(first, best, expected):
        judged = "too early to judge" if len(rows) < RISING_EVALUATIONS else "no improvement"
        if first["step"] > 0:
            return f"{judged}: best {of_best}; {now}"
        return f"{judged}: {of_best}, not better than before training ({first[name]:.3g})"
    if _improves(last, best, expected, RISING_ERRORS):
        return f"no sign of divergence, but no longer improving: best {of_best}; {now}"
    if best is not last:
        return f"looks healthy: best {of_best}; {now}"
    line = f"looks healthy: {of_best} (best)"
    if len(rows) < 2 or not _improves(rows[-2], last, expected):
        return line
    longer = f"; train longer with --train.epochs {2 * epochs:g}" if extendable else ""
    return f"{line}, still improving{longer}"


def _improves(before: Row, after: Row, expected: Expectations, errors: float = 1.0) -> bool:
    """Return whether the monitored metric improved by more than so many standard errors."""
    name = after["monitor"]
    error = math.hypot(before[f"{name}_stderr"], after[f"{name}_stderr"])
    sign = 1 if expected.lower_is_better else -1
    return bool(sign * (before[name] - after[name]) > errors * error)


def _when(row: Row) -> str:
    return f"epoch {epoch_text(row['epoch'])}"
