"""Run folders that were never trained, for comparisons whose results are known."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from d3gan import config as configs
from d3gan.config import Config
from d3gan.evaluation.protocol import EvaluationProtocol
from d3gan.run_status import State, Status
from d3gan.runs import RunFolder
from d3gan.study import compare as comparison
from d3gan.study.question import Question

PROTOCOL = EvaluationProtocol(
    features="classifier:digits",
    weights_sha256="aa",
    test_accuracy=0.99,
    resize="none",
    resolution=32,
    channels=1,
    real_source="digits",
    real_split="train",
    real_images=100,
    real_sha256="bb",
    generated_images=100,
    seed=0,
    ema=False,
).to_dict()


class Studio:
    """Writes run folders: 10 steps and 100 images an epoch, an evaluation at the end of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self,
        method: str,
        seed: int,
        values: Sequence[float],
        *,
        seconds: float = 10.0,
        epochs: int | None = None,
        protocol: dict[str, Any] = PROTOCOL,
        config: dict[str, Any] | None = None,
        state: State | None = None,
        flops: float | None = 1000.0,
        start: float | None = None,
        **more: Any,
    ) -> RunFolder:
        """Write a run with these `values` of fd, of which every epoch took `seconds`.

        `flops` are those of a step with one discriminator; `start` is the fd at step 0; `more` are
        other columns of evaluations.
        """
        made = configs.from_dict(
            {
                "name": f"{method}-seed-{seed}",
                "seed": seed,
                "out_dir": str(self.folder),
                "data": {"source": "digits", "channels": 1},
                "gan": {"discriminators": 2 if "d3gan" in method else 1},
                "train": {"batch_size": 10, "epochs": float(epochs or len(values) or 4)},
                "eval": {"every_epochs": 1.0},
            }
        )
        made = configs.from_dict(config or {}, made)
        epochs = int(epochs or len(values) or 4)
        return write_run(
            made, values, seconds=seconds, epochs=epochs, protocol=protocol, state=state,
            flops=flops, start=start, **more,
        )  # fmt: skip

    def append(self, run: RunFolder, row: dict[str, Any]) -> None:
        append(run, row)


def write_run(
    config: Config,
    values: Sequence[float],
    *,
    seconds: float = 10.0,
    epochs: int = 4,
    protocol: dict[str, Any] = PROTOCOL,
    state: State | None = None,
    flops: float | None = 1000.0,
    start: float | None = None,
    **more: Any,
) -> RunFolder:
    """Write the run of a configuration as `Studio.run` does; `epochs` are those of a whole run."""
    run, n = RunFolder(config.run_dir), config.gan.discriminators
    steps, total = 10 * len(values), 10 * epochs
    state = state or ("finished" if steps == total else "interrupted")
    run.begin(configs.to_toml(config), {"cpu": "abacus", "processes": 1})
    if start is not None:
        row = {"kind": "eval", "monitor": "fd", "fd": start, "step": 0, "images": 0}
        append(run, {**row, "epoch": 0.0, "train_seconds": 0.0, "protocol": protocol})
    for i, value in enumerate(values, start=1):
        where = {"step": 10 * i, "images": 100 * i, "epoch": float(i)}
        where["train_seconds"] = seconds * i
        losses = {"loss_g": 1.0, "loss_d": [1.0] * n, "chosen": [0] * 7 + [n - 1] * 3}
        row = {"kind": "eval", "monitor": "fd", "fd": value, "fd_stderr": 0.1}
        other = {key: column[i - 1] for key, column in more.items()}
        append(run, {"kind": "train", **where, **losses})
        append(run, {**where, **row, **other, "protocol": protocol})
    if state == "diverged":
        steps += 3
        row = {"kind": "diverged", "step": steps, "images": 10 * steps, "epoch": steps / 10}
        append(run, {**row, "train_seconds": seconds * steps / 10, "what": "loss_g"})
    count = None if flops is None else n * flops
    run.write_status(Status(state, steps, total, seconds * steps / 10, 1, "here", "", count))
    return run


def append(run: RunFolder, row: dict[str, Any]) -> None:
    with run.metrics_file.open("a") as file:
        file.write(json.dumps(row) + "\n")  # may contain NaN


def compare(runs: Sequence[RunFolder], *, metric: str = "", baseline: str = "") -> dict[str, Any]:
    """Return the comparison by this metric, with this baseline."""
    return comparison_of(runs, Question(metric=metric, baseline=baseline))


def comparison_of(runs: Sequence[RunFolder], question: Question) -> dict[str, Any]:
    """Return the comparison, which must be strict JSON."""
    found = comparison.compare(runs, question)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


FALLING = [9.0, 7.0, 5.0, 3.0]


def twice_as_fast(studio: Studio) -> list[RunFolder]:
    """The second method is where the first one is with half of the images and seconds."""
    scale = [1 + 0.01 * s for s in range(6)]
    curves = {"dcgan": [64, 32, 16, 8, 4, 2, 2, 2], "d3gan": [32, 8, 2, 2, 2, 2, 2, 2]}
    return [
        studio.run(name, seed, [x * v for v in curve])
        for name, curve in curves.items()
        for seed, x in enumerate(scale)
    ]
