"""The judgement of made-up runs: of the shape that the judge gives, with plausible numbers."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

CLOCKS = ("seconds", "images", "steps", "flops")
FACTORS = (1.25, 1.1)
Curves = Mapping[str, Mapping[str, Any]]


def judgement(
    curves: Curves, groups: Sequence[tuple[Mapping[str, Any], Sequence[str]]]
) -> dict[str, Any]:
    """Return the judgement of curves by method.

    A group is the values that set it apart and its methods, of which the first is the baseline. The
    second method of the first group is the primary comparison's.
    """
    found = [_group(curves, varied, names, not i) for i, (varied, names) in enumerate(groups)]
    compared = [one for group in found for one in group["comparisons"]]
    sentences = [
        one["sentence"] for one in compared if one["clock"] == "seconds" and one["factor"] == 1.25
    ]
    headline = sentences[0] if sentences else "Nothing to compare: there is only one method."
    return {
        "headline": headline,
        "sentences": sentences or [headline],
        "groups": found,
        "left_out": [],
    }


def _group(
    curves: Curves, varied: Mapping[str, Any], names: Sequence[str], has_primary: bool
) -> dict[str, Any]:
    baseline, *others = names
    plateau = float(np.median([min(run["values"]) for run in curves[baseline]["runs"]]))
    times = {
        name: {
            clock: {
                f"{factor:g}": [_time(run, clock, factor * plateau) for run in curves[name]["runs"]]
                for factor in FACTORS
            }
            for clock in CLOCKS
        }
        for name in names
    }
    return {
        "varied": dict(varied),
        "baseline": baseline,
        "methods": list(names),
        "learned": True,
        "reason": "",
        "targets": [
            {
                "factor": factor,
                "value": factor * plateau,
                "plateau": plateau,
                "source": "pilot",
                "seeds": [100, 101, 102],
            }
            for factor in FACTORS
        ],
        "times": times,
        "comparisons": [
            _comparison(times, baseline, name, clock, factor, factor * plateau, primary)
            for name, clock, factor in itertools.product(others, CLOCKS, FACTORS)
            for primary in [has_primary and (name, clock, factor) == (others[0], "seconds", 1.25)]
        ],
        "stability": {name: _stability(len(curves[name]["runs"])) for name in names},
        "costs": {name: _costs(times, curves, baseline, name) for name in others},
    }


def _time(run: Mapping[str, Any], clock: str, target: float) -> dict[str, Any]:
    below = np.flatnonzero(np.array(run["values"]) <= target)
    reached = None
    if below.size:
        i = max(1, int(below[0]))
        before, after = (math.log(run["values"][k]) for k in (i - 1, i))
        share = (before - math.log(target)) / (before - after)
        reached = run[clock][i - 1] + min(1.0, share) * (run[clock][i] - run[clock][i - 1])
    return {"seed": run["seed"], "reached": reached, "budget": run[clock][-1]}


def _ratio(times: Mapping[str, Any], baseline: str, name: str, clock: str, factor: float) -> Any:
    of_both = [times[one][clock][f"{factor:g}"] for one in (name, baseline)]
    reached = [[t["reached"] for t in of_one if t["reached"] is not None] for of_one in of_both]
    estimate = float(np.median(reached[0]) / np.median(reached[1])) if all(reached) else None
    return {
        "estimate": estimate,
        "low": estimate and 0.85 * estimate,
        "high": estimate and 1.2 * estimate if all(map(len, reached)) else None,
        "p": 1.0,
        "reached": [len(of_one) for of_one in reached],
        "seeds": [len(of_one) for of_one in of_both],
    }


def _comparison(
    times: Mapping[str, Any],
    baseline: str,
    name: str,
    clock: str,
    factor: float,
    target: float,
    primary: bool,
) -> dict[str, Any]:
    time = _ratio(times, baseline, name, clock, factor)
    high, low = time["high"], time["low"]
    time["p"] = 0.004 if high is not None and low is not None and not low < 1 < high else 0.31
    word = "cannot be judged" if low is None else "no clear difference"
    if high is not None and low is not None:
        word = "faster" if high < 1 else "slower" if low > 1 else word
    words = (
        f"{name} reached FD {target:.1f} in {time['estimate'] or math.nan:.2f} times {baseline}'s "
        f"{clock} (95 % interval {low or math.nan:.2f} to {high or math.nan:.2f}, "
        f"{time['seeds'][0]} seeds each): {word}."
    )
    quality = {"ratio": 0.91, "low": 0.84, "high": 0.99, "low90": 0.85, "high90": 0.98, "p": 0.12}
    return {
        "method": name,
        "baseline": baseline,
        "clock": clock,
        "factor": factor,
        "target": target,
        "primary": primary,
        "word": word,
        "sentence": words,
        "p": time["p"],
        "adjusted_p": time["p"] if primary else min(1.0, 5 * time["p"]),
        "time": time,
        "quality": {**quality, "pairs": time["seeds"][0]},
        "more_seeds": 4 if word == "no clear difference" else None,
    }


def _stability(runs: int) -> dict[str, Any]:
    return {"runs": runs, "diverged": 0, "collapsed": 1, "p_diverged": 1.0, "p_collapsed": 1.0}


def _costs(times: Mapping[str, Any], curves: Curves, baseline: str, name: str) -> dict[str, Any]:
    ends = [curves[one]["runs"][0] for one in (name, baseline)]
    per_image = [run["seconds"][-1] / run["images"][-1] for run in ends]
    ratio = per_image[0] / per_image[1]
    cost = {"ratio": ratio, "low": 0.98 * ratio, "high": 1.02 * ratio, "pairs": len(times[name])}
    images = _ratio(times, baseline, name, "images", FACTORS[0])
    return {
        "seconds_per_step": cost,
        "seconds_per_image": cost,
        "images_to_target": images,
        "time_to_target": _ratio(times, baseline, name, "seconds", FACTORS[0]),
        "product": images["estimate"] and ratio * images["estimate"],
    }
