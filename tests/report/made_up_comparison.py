"""The comparison of made-up runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tests.report.made_up_judgement import judgement

from d3gan.runs import RunFolder

# 95 % quantiles of Student's t for 1 to 9 degrees of freedom.
STUDENT = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
BETTER = {
    "fd": "lower",
    "cs": "higher",
    "kd": "lower",
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
    baseline = next(iter(runs))
    flops = {name: flops_per_image(about) for name, about in methods.items()}
    seeds = {name: [run.config()["seed"] for run in of_runs] for name, of_runs in runs.items()}
    columns = {
        name: _columns(of_runs, flops[name], seeds[name]) for name, of_runs in curves.items()
    }
    at = {
        key: min(run[key][-1] for table in columns.values() for run in table["runs"])
        for key in ("seconds", "images", "steps", "flops")
    }
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
        "judgement": judgement(columns, _groups(methods)),
        "warnings": ["seed 3 has no partner"],
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
    }


def _groups(methods: Mapping[str, Mapping[str, Any]]) -> list[tuple[dict[str, Any], list[str]]]:
    """Return the methods by their batch size, if they state one."""
    sizes = dict.fromkeys(about.get("batch_size") for about in methods.values())
    return [
        (
            {"train.batch_size": size} if size else {},
            [name for name, about in methods.items() if about.get("batch_size") == size],
        )
        for size in sizes
    ]


def _columns(
    of_runs: Sequence[Sequence[Mapping[str, Any]]], flops: float, seeds: Sequence[int]
) -> dict[str, Any]:
    runs = [
        {
            "seed": seed,
            "images": [row["images"] for row in rows],
            "seconds": [row["train_seconds"] for row in rows],
            "steps": [row["step"] for row in rows],
            "flops": [row["images"] * flops for row in rows],
            "values": [row["fd"] for row in rows],
        }
        for seed, rows in zip(seeds, of_runs, strict=True)
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
        "reported": {"fd": 1.03 * column["values"][best], "fd_stderr": 0.4, "draws": 3},
        "images_per_second": speed,
        "epoch_seconds": 60000 / speed,
        "peak_memory_bytes": int(1.1e9 + 0.45e9 * n),
        "utilisation": 0.7 + 0.08 * n + 0.01 * seed,
        "chosen": chosen,
        "selection_entropy": chosen and -sum(p * math.log2(p) for p in chosen if p),
    }
