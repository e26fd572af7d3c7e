"""The noise of a study's methods, from pilot runs of them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from d3gan.errors import UserError
from d3gan.study.records import Axis, Metric, Record
from d3gan.study.targets import cost_to, log_metric, plateau, target

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Runs:
    """Runs of one method that were evaluated at the same numbers of images."""

    seeds: tuple[int, ...]
    images: Array
    """Images at each evaluation [evaluations]."""
    curves: Array
    """Log metric, lower is better [runs, evaluations]."""
    cost_of_an_image: Array
    """Log of the cost of an image, the mean over the run [runs]."""

    @property
    def cost(self) -> Array:
        """Mean cost at each evaluation [evaluations]."""
        return np.asarray(self.images * np.exp(self.cost_of_an_image.mean()))

    def deviations(self) -> Array:
        """Return the deviations of the runs from their mean [runs, evaluations + 1]: of the curve,
        and of the log of the cost of an image."""
        both = np.column_stack([self.curves, self.cost_of_an_image])
        return np.asarray(both - both.mean(0))


@dataclass(frozen=True)
class Pilot:
    """The baseline's mean curve, what both methods cost, and their noise."""

    mean: Array
    """Mean over runs of the baseline's log metric [evaluations]."""
    cost: Array
    """Mean cost at each evaluation of the baseline [evaluations]."""
    method_cost: Array
    """The same of the method [evaluations]."""
    noise: Array
    """A square root of the covariance of both methods' deviations with one seed: of the baseline's
    curve and cost of an image, then of the method's [2 (evaluations + 1), 2 (evaluations + 1)].
    Deviations are w @ noise with w ~ N(0, I)."""

    def curve(self, cost: Array) -> Array:
        """Return the baseline's mean curve at any cost: a monotone cubic through the evaluations in
        the logarithms of both (Fritsch and Carlson 1980, "Monotone piecewise cubic interpolation"),
        continued by the slope of the least-squares line through its second half."""
        x, here = np.log(self.cost), np.log(cost)
        inside = PchipInterpolator(x, self.mean)(np.clip(here, x[0], x[-1]))
        half = len(x) // 2
        slope = min(0.0, float(np.polyfit(x[-half - 1 :], self.mean[-half - 1 :], 1)[0]))
        return np.asarray(inside + slope * np.maximum(here - x[-1], 0.0))


def read_runs(name: str, records: Sequence[Record], metric: Metric, clock: Axis) -> Runs:
    """Return the runs of a method, of which those that ended early are left out.

    Raises UserError if fewer than two complete runs with two evaluations remain.
    """
    curves = [(r.seed, r.curve(metric.name)) for r in records if r.knows(clock)]
    longest = max((len(curve.values) for _, curve in curves), default=0)
    complete = {seed: curve for seed, curve in sorted(curves, key=lambda pair: pair[0])
                if len(curve.values) == longest}  # fmt: skip
    trained = [i for i in range(longest) if all(c.x["images"][i] > 0 for c in complete.values())]
    if len(complete) < 2 or len(trained) < 2:
        raise UserError(
            f"how much the runs of {name} vary is unknown: it takes two complete pilot runs with "
            "two evaluations each; name more pilot_seeds, and train them with --pilot-only"
        )
    images = next(iter(complete.values())).x["images"]
    return Runs(
        tuple(complete),
        np.array(images)[trained],
        np.array([log_metric(c.values, metric.better)[trained] for c in complete.values()]),
        np.log([c.x[clock][-1] / c.x["images"][-1] for c in complete.values()]),
    )


def reached_at_first(runs: Runs, baseline: Runs, factor: float) -> int:
    """Return how many runs reach `factor` times the baseline's plateau by their first evaluation.

    If they are most, the judge does not compare times (`d3gan.study.judge.decide`)."""
    goal = target(plateau(list(baseline.curves)), factor)
    costs = [cost_to(list(runs.images), curve, goal) for curve in runs.curves]
    return costs.count(float(runs.images[0]))


def pair_pilot(baseline: Runs, method: Runs) -> Pilot:
    """Return a pilot in which each method has the noise of its own runs alone."""
    return _pilot(baseline, method, [(baseline, method)])


def pooled_pilot(baseline: Runs, method: Runs, others: Mapping[str, Runs], factor: float) -> Pilot:
    """Return a pilot in which both methods have the noise of all methods together, so that the
    covariance has more degrees of freedom and is the same for both.

    Methods with another number of evaluations are left out, and those of which no run reaches
    `factor` times the baseline's plateau: on the steep part of a curve, a little time is a large
    factor of the metric.
    """
    goal = target(plateau(list(baseline.curves)), factor)
    pool = [
        runs
        for runs in (baseline, method, *others.values())
        if runs.curves.shape[1] == baseline.curves.shape[1]
        and any(cost_to(list(runs.images), y, goal) is not None for y in runs.curves)
    ]
    pairs = list(itertools.permutations(pool, 2))
    return _pilot(baseline, method, pairs or [(baseline, method)])


def _pilot(baseline: Runs, method: Runs, pairs: Sequence[tuple[Runs, Runs]]) -> Pilot:
    noise = _square_root(pairs)
    return Pilot(baseline.curves.mean(0), baseline.cost, method.cost, noise)


def _square_root(pairs: Sequence[tuple[Runs, Runs]]) -> Array:
    """Return a square root of the covariance of the deviations of two methods, pooled over pairs of
    methods: the sum of products of deviations by the sum of degrees of freedom, n - 1 for each
    method. Runs with one seed are correlated, runs with different seeds are not."""
    rows = []
    for first, second in pairs:
        one, two = (dict(zip(r.seeds, r.deviations(), strict=True)) for r in (first, second))
        zero = np.zeros(first.curves.shape[1] + 1)
        rows += [[one.get(seed, zero), two.get(seed, zero)] for seed in sorted({*one, *two})]
    degrees = [sum(len(pair[side].seeds) - 1 for pair in pairs) for side in (0, 1)]
    scaled = np.array(rows) / np.sqrt(degrees)[:, None]  # [seeds of pairs, 2, evaluations + 1]
    root: Array = np.linalg.qr(scaled.reshape(len(rows), -1), mode="r")  # type: ignore[assignment]
    return root
