"""Simulated studies: what the judge says where the truth is known (docs/judge.md).

The noise is that of pilot runs (`d3gan.study.pilot`), without a fitted parameter: the log curve of
a run is a Gaussian process around the method's mean curve, with the sample covariance of the
pilot's curves. The runs are judged by `d3gan.study.judge` itself.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from d3gan.config import Config
from d3gan.run_status import Status
from d3gan.runs import RunFolder
from d3gan.study.censored import Time
from d3gan.study.judge import Comparison, judge
from d3gan.study.measures import Group, group_targets, times
from d3gan.study.methods import Method
from d3gan.study.pilot import Array, Pilot
from d3gan.study.question import Primary, Question
from d3gan.study.records import Axis, Metric, Record
from d3gan.study.targets import plateau

METRIC = Metric("fd", "lower")
"""Name under which simulated runs hold the metric; a metric of which more is better is inverted."""
CLOCK: Axis = "seconds"
"""Clock of simulated runs; it stands for the clock of the pilot's costs."""
STUCK = 4.0
"""Factor of the plateau above which a failing run stays."""
_LONGEST = 8.0
"""Largest length of a run that is tried, as a multiple of the pilot's."""


@dataclass(frozen=True)
class Truth:
    """How a method truly differs from the baseline."""

    speed: float = 1.0
    """How many times as fast it is: a run is where the baseline's would be at `speed` times the
    cost, with its deviations, so that the times are distributed as the baseline's over `speed`."""
    quality: float = 1.0
    """Factor on its metric."""
    failing: float = 0.0
    """Probability with which a run stays far above the plateau."""


@dataclass(frozen=True)
class Design:
    """How a study is made."""

    seeds: int
    """Judged runs of each method."""
    factor: float = 1.25
    """The target as a multiple of the plateau."""
    margin: float = 0.15
    pilots: int = 3
    """Pilot runs of the baseline, which fix the target."""
    length: float = 1.0
    """Length of a judged run as a multiple of a pilot run's; both are evaluated equally often."""
    correlated: bool = True
    """Whether runs of both methods with one seed are correlated as those of the pilot are;
    otherwise all runs are independent."""


@dataclass(frozen=True)
class Tally:
    """What the judge said in simulated studies of one design."""

    studies: int
    words: Counter[str]
    time_covered: int
    """Studies in which the interval of the ratio of times holds the true one."""
    quality_covered: int
    """Studies in which the interval of the ratio of the metric holds the true one."""
    censored: float
    """Share of the baseline's runs that did not reach the target."""

    def share(self, *words: str) -> float:
        """Return the share of studies in which one of these words was said."""
        return sum(self.words[word] for word in words) / self.studies


def tally(pilot: Pilot, truth: Truth, design: Design, studies: int, *, seed: int = 0) -> Tally:
    """Simulate studies and return what the judge says in them."""
    random = np.random.default_rng(seed)
    words: Counter[str] = Counter()
    time_covered = quality_covered = reached = 0
    for _ in range(studies):
        found = judged(simulate(pilot, truth, design, random), design)
        words[found.word] += 1
        if found.time:
            time_covered += found.time.low <= 1 / truth.speed <= found.time.high
            reached += found.time.reached[1]
        if found.quality and found.quality.low is not None and found.quality.high is not None:
            quality_covered += found.quality.low <= truth.quality <= found.quality.high
    censored = 1 - reached / (studies * design.seeds)
    return Tally(studies, words, time_covered, quality_covered, censored)


def simulate(pilot: Pilot, truth: Truth, design: Design, random: np.random.Generator) -> Group:
    """Return the runs of one simulated study."""
    width = len(pilot.mean) + 1

    def deviations(runs: int) -> tuple[Array, Array]:
        both = random.standard_normal((runs, len(pilot.noise))) @ pilot.noise
        return both[:, :width], both[:, width:]

    pilot_runs, _ = deviations(design.pilots)
    of_baseline, of_method = deviations(design.seeds)
    if not design.correlated:
        _, of_method = deviations(design.seeds)
    cost = _evaluations(pilot.cost, design.length)
    method_cost = _evaluations(pilot.method_cost, design.length)
    mean = pilot.curve(method_cost * truth.speed) + np.log(truth.quality)
    of_baseline = _deviations_at(of_baseline, pilot.cost, cost)
    of_method = _deviations_at(of_method, pilot.cost, method_cost * truth.speed)
    level = plateau(list(pilot.mean + pilot_runs[:, :-1])) + np.log(STUCK)
    fails = random.random((design.seeds, 1)) < truth.failing
    return Group(
        [
            _method("baseline", cost, pilot.curve(cost), of_baseline),
            _method(
                "method", method_cost, np.where(fails, np.maximum(mean, level), mean), of_method
            ),
        ],
        _method("pilot", pilot.cost, pilot.mean, pilot_runs).records,
    )


def _evaluations(cost: Array, length: float) -> Array:
    """Return the costs of the evaluations of a run that is `length` times as long as one with
    evaluations at `cost`, with the same distance between them."""
    end, distance = length * cost[-1], cost[-1] / len(cost)
    return np.append(np.arange(1, np.ceil(end / distance - 1e-6)) * distance, end)


def _deviations_at(deviations: Array, cost: Array, here: Array) -> Array:
    """Return deviations [runs, evaluations + 1] at other costs than those of the pilot; outside of
    its range they stay as they are. The last column is not of the curve."""
    curves = [np.interp(np.log(here), np.log(cost), curve) for curve in deviations[:, :-1]]
    return np.column_stack([curves, deviations[:, -1]])


def judged(group: Group, design: Design) -> Comparison:
    """Return the judge's decision on the primary comparison of a simulated study."""
    (part,) = judge([group], _question(design), METRIC)
    return part.comparisons[0]


def length_for(pilot: Pilot, censored: float, design: Design, *, studies: int = 200) -> float:
    """Return the length of a run, as a multiple of the pilot's, with which the share `censored` of
    the baseline's runs does not reach the target.

    The mean curve goes on with its last slope where a run is longer than the pilot's.
    """
    low, high = 1 / _LONGEST, _LONGEST
    while high / low > 1.01:
        middle = float(np.sqrt(low * high))
        random = np.random.default_rng(1)
        tried = replace(design, seeds=8, length=middle)
        groups = [simulate(pilot, Truth(), tried, random) for _ in range(studies)]
        missed = np.mean([t.reached is None for group in groups for t in _times(group, tried)])
        low, high = (middle, high) if missed > censored else (low, middle)
    return high


def _times(group: Group, design: Design) -> list[Time]:
    (goal,) = group_targets(group, _question(design), METRIC)
    return times(group.baseline.records, CLOCK, goal, METRIC)


def _question(design: Design) -> Question:
    """Return what a simulated study asks: its primary comparison alone, since the others do not
    influence it."""
    return Question(
        primary=Primary("method", CLOCK, design.factor),
        pilot_seeds=tuple(range(design.pilots)),
        targets=(design.factor,),
        clocks=(CLOCK,),
        margin=design.margin,
    )


def _method(name: str, cost: Array, mean: Array, deviations: Array) -> Method:
    """Return runs with the mean curve [evaluations], or one for each run [runs, evaluations]."""
    values = np.exp(mean + deviations[:, :-1])
    costs = cost * np.exp(deviations[:, -1:])
    pairs = zip(costs.tolist(), values.tolist(), strict=True)
    return Method(name, [_record(seed, x, y) for seed, (x, y) in enumerate(pairs)])


def _record(seed: int, cost: list[float], values: list[float]) -> Record:
    rows = [
        {
            "kind": "eval",
            "step": step,
            "images": step,
            "train_seconds": spent,
            METRIC.name: value,
            "protocol": _PROTOCOL,
        }
        for step, (spent, value) in enumerate(zip(cost, values, strict=True), 1)
    ]
    return Record(_FOLDER, _config(seed), _FINISHED, rows)


_PROTOCOL = {"features": "classifier:simulated"}
_FOLDER = RunFolder(Path("simulated"))
_FINISHED = Status("finished", 1, 1, 1.0, 0, "", "", None)


@cache
def _config(seed: int) -> Config:
    return replace(Config(), seed=seed)
