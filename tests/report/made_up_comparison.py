"""The comparison of made-up runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from d3gan.runs import RunFolder

# 95 % quantiles of Student's t for 1 to 9 degrees of freedom.
STUDENT = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
BETTER = {
    "fd": "lower",
    "cs": "higher",
    "kid": "lower",
    "precision": "higher",
    "recall": "higher",
    "modes": "higher",
}
PROTOCOL = {
    "features": "classifier:mnist",
    "weights_sha256": "5f2c" * 16,
    "test_accuracy": 0.9934,
    "resize": "bilinear to 32",
    "resolution": 32,
    "channels": 1,
    "real_source": "mnist",
    "real_split": "train",
    "real_images": 60000,
    "real_sha256": "a01b" * 16,
    "generated_images": 10000,
    "seed": 0,
    "ema": True,
    "version": 1,
}


def flops_per_image(about: Mapping[str, Any]) -> float:
    """Return the operations of a method per image."""
    return float(1.1e8 * (1 + 0.6 * about["n"]))


def estimate(values: Sequence[float], better: str = "lower") -> dict[str, Any]:
    """Return mean and 95 % interval; one value has no interval."""
    mean = math.fsum(values) / len(values)
    half = None
    if len(values) > 1:
        half = STUDENT[min(len(values), 10) - 2] * float(
            np.std(values, ddof=1) / len(values) ** 0.5
        )
    return {
        "mean": mean,
        "low": None if half is None else mean - half,
        "high": None if half is None else mean + half,
        "seeds": len(values),
        "better": better,
    }


def comparison(
    runs: Mapping[str, Sequence[RunFolder]],
    curves: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    methods: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return approximately what comparing these runs would give."""
    baseline, *others = runs
    flops = {name: flops_per_image(about) for name, about in methods.items()}
    columns = {name: _columns(of_runs, flops[name]) for name, of_runs in curves.items()}
    at = {
        key: min(run[key][-1] for table in columns.values() for run in table["runs"])
        for key in ("seconds", "images", "steps", "flops")
    }
    target = float(np.mean([min(run["values"]) for run in columns[baseline]["runs"]]))
    return {
        "metric": "fd",
        "better": "lower",
        "baseline": baseline,
        "protocol": PROTOCOL,
        "at": at,
        "methods": {
            name: {
                metric: estimate([rows[-1][metric] for rows in of_runs], better)
                for metric, better in BETTER.items()
            }
            for name, of_runs in curves.items()
        },
        "at_equal_time": {n: _at(table, "seconds", at) for n, table in columns.items()},
        "at_equal_compute": {n: _at(table, "flops", at) for n, table in columns.items()},
        "runs": {
            name: [
                _run(run, rows, methods[name], column)
                for run, rows, column in zip(
                    runs[name], curves[name], columns[name]["runs"], strict=True
                )
            ]
            for name in runs
        },
        "curves": columns,
        "target": {"value": target, "what": f"mean of the best fd of {baseline}'s runs"},
        "time_to_target": {n: _reached(table, target) for n, table in columns.items()},
        "speedup": {f"{n} over {baseline}": _speedup(i) for i, n in enumerate(others)},
        "differences": {
            name: {}
            if name == baseline
            else {
                "gan.discriminators": [methods[baseline]["n"], methods[name]["n"]],
                **(
                    {"gan.aggregation": [methods[baseline]["rule"], methods[name]["rule"]]}
                    if methods[name]["rule"] != methods[baseline]["rule"]
                    else {}
                ),
            }
            for name in runs
        },
        "configs": {
            name: {
                f"{section}.{key}": value
                for section, values in folders[0].config().items()
                if isinstance(values, dict)
                for key, value in values.items()
            }
            for name, folders in runs.items()
        },
        "verdict": f"{others[0]} reaches the best fd of {baseline} 1.31 times (1.12 to 1.53) "
        "faster in training time."
        if others
        else "Only one method: nothing to compare.",
    }


def _columns(of_runs: Sequence[Sequence[Mapping[str, Any]]], flops: float) -> dict[str, Any]:
    runs = [
        {
            "seed": seed,
            "images": [row["images"] for row in rows],
            "seconds": [row["train_seconds"] for row in rows],
            "steps": [row["step"] for row in rows],
            "flops": [row["images"] * flops for row in rows],
            "values": [row["fd"] for row in rows],
        }
        for seed, rows in enumerate(of_runs)
    ]
    points = range(len(of_runs[0]))
    band = [estimate([run["values"][i] for run in runs]) for i in points]
    return {
        "images": runs[0]["images"],
        "seconds": [float(np.mean([run["seconds"][i] for run in runs])) for i in points],
        "steps": runs[0]["steps"],
        "flops": runs[0]["flops"],
        "mean": [e["mean"] for e in band],
        "low": [e["low"] for e in band],
        "high": [e["high"] for e in band],
        "seeds": [len(runs) for _ in points],
        "runs": runs,
    }


def _at(table: Mapping[str, Any], key: str, at: Mapping[str, float]) -> dict[str, Any]:
    values = [float(np.interp(at[key], run[key], run["values"])) for run in table["runs"]]
    return {"fd": estimate(values)}


def _reached(table: Mapping[str, Any], target: float) -> dict[str, Any]:
    ends: dict[str, Any] = {"seeds": len(table["runs"])}
    for key in ("seconds", "images", "steps", "flops"):
        times = sorted(
            next((x for x, y in zip(run[key], run["values"], strict=True) if y <= target), math.inf)
            for run in table["runs"]
        )
        finite = [x for x in times if x < math.inf]
        middle = times[(len(times) - 1) // 2]
        ends["reached"] = len(finite)
        ends[key] = middle if middle < math.inf else None
        ends[f"{key}_low"] = finite[0] if finite and len(times) > 1 else None
        ends[f"{key}_high"] = times[-1] if times[-1] < math.inf and len(times) > 1 else None
    return ends


def _speedup(number: int) -> dict[str, Any]:
    shown = {"mean": 1.31, "low": 1.12, "high": 1.53, "pairs": 4, "censored": 0}
    censored = {"mean": 1.08, "low": None, "high": 1.3, "pairs": 4, "censored": 1}
    one = censored if number else shown
    images = {**shown, "mean": 1.62, "high": 1.9}
    return {"seconds": one, "images": images, "steps": images, "flops": one} | {
        key: one[key] for key in ("mean", "low", "high")
    }


def _run(
    run: RunFolder,
    rows: Sequence[Mapping[str, Any]],
    about: Mapping[str, Any],
    column: Mapping[str, Any],
) -> dict[str, Any]:
    best = int(np.argmin(column["values"]))
    n, last = about["n"], rows[-1]
    seed = run.config()["seed"]
    share = 0.5 + 0.04 * math.sin(3 * seed + n)
    shares = [share, *[(1 - share) / (n - 1)] * (n - 1)] if n > 1 else [1.0]
    chosen = None if about["rule"] == "mean" else shares
    speed = last["images"] / last["train_seconds"]
    return {
        "path": str(run.path),
        "name": run.path.name,
        "seed": seed,
        "status": "finished",
        "images": last["images"],
        "steps": last["step"],
        "train_seconds": last["train_seconds"],
        "flops": column["flops"][-1],
        "best": {
            "value": column["values"][best],
            **{key: column[key][best] for key in ("seconds", "images", "steps", "flops")},
        },
        "images_per_second": speed,
        "epoch_seconds": 60000 / speed,
        "peak_memory_bytes": int(1.1e9 + 0.45e9 * n),
        "utilisation": 0.7 + 0.08 * n + 0.01 * seed,
        "chosen": chosen,
        "selection_entropy": chosen and -sum(p * math.log2(p) for p in chosen if p),
    }
