"""The benchmark of a step: its calculations, and one real run."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.program import written

from d3gan.acceleration.processor import processor_name
from d3gan.bench import step as stepping
from d3gan.bench.timing import Trainer, make_trainer, warmed_up
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.data.cache import load_images
from d3gan.training.engine import Engine

CPU = torch.device("cpu")


def trainer_of(name: str, config: Config) -> Trainer:
    return make_trainer(name, config, load_images(config.data), CPU)


@pytest.mark.parametrize("name", ["d3gan", "baseline"])
def test_the_parts_add_up_to_the_step(
    tiny: Config, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = trainer_of(name, tiny)
    real_images = type(engine).real_images

    def slow(self: Any, step: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        time.sleep(0.05)
        return real_images(self, step)  # type: ignore[no-any-return]

    monkeypatch.setattr(type(engine), "real_images", slow)
    engine.step()
    start = time.perf_counter()
    parts = stepping.timed_parts(engine, 1)
    whole = 1000 * (time.perf_counter() - start)
    assert set(parts) == {"data", "d_phase", "g_phase", "optimizers", "rest"}
    assert parts["data"] > 50
    assert 0.5 * whole < sum(parts.values()) <= whole
    step = engine.state.step
    engine.step()  # the hooks are gone
    assert engine.state.step == step + 1
    assert "real_images" not in vars(engine)


def test_the_engines_are_compared_block_by_block(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"d3gan": iter([1.0, 2.0, 4.0]), "baseline": iter([3.0, 3.0, 20.0])}
    monkeypatch.setattr(
        stepping, "timed_steps", lambda engine, steps: steps * next(seconds[kind(engine)])
    )

    def kind(trainer: Trainer) -> str:
        return "d3gan" if isinstance(trainer, Engine) else "baseline"

    images = load_images(tiny.data)
    row, other = stepping.measure(tiny, images, CPU, steps=2, warm_up=1, rounds=3)
    assert (row["engine"], other["engine"]) == ("d3gan", "baseline")
    low_and_high = (row["ratio_to_baseline_low"], row["ratio_to_baseline_high"])
    assert (row["ratio_to_baseline"], *low_and_high) == (3.0, 1.5, 5.0)
    assert other["ratio_to_baseline"] == 1
    assert (row["ms_per_step"], row["images_per_second"]) == (2000, 4)
    assert row["flops_per_second"] == row["flops_per_step"] / 2
    assert row["matmul_flops_per_second"] > 1e8


@pytest.mark.parametrize(("asked", "made"), [(2, 5), (7, 7)])
def test_the_recording_of_a_step_is_not_timed(
    tiny: Config, monkeypatch: pytest.MonkeyPatch, asked: int, made: int
) -> None:
    monkeypatch.setattr(Engine, "warm_up_steps", 5)
    assert warmed_up(trainer_of("d3gan", tiny), asked).state.step == made
    assert warmed_up(trainer_of("baseline", tiny), asked).state.step == asked


def test_one_real_benchmark(tiny: Config, tmp_path: Path, capfd: Any) -> None:
    file = written(tiny, tmp_path, train={"precision": "fp32"})
    status = main(
        [
            *("bench", "step", "--preset", str(file), "--discriminators", "1", "2"),
            *("--batch-sizes", "4", "8", "--steps", "1", "--warm-up", "1", "--rounds", "2"),
            *("--device", "cpu", "--json", str(tmp_path / "step.json")),
            *("--plot", str(tmp_path / "step.png"), "--profile", str(tmp_path / "trace.json")),
        ]
    )
    output, errors = capfd.readouterr()
    assert status == 0, errors
    found = json.loads((tmp_path / "step.json").read_text())
    cases = [(r["discriminators"], r["batch_size"], r["engine"]) for r in found["rows"]]
    assert cases == [(n, b, e) for n in (1, 2) for b in (4, 8) for e in ("d3gan", "baseline")]
    assert errors.startswith(f"d3gan: {processor_name()}")
    assert "GFLOP/s of a large matrix product" in errors
    for row in found["rows"]:
        assert sum(row["kernels"].values()) > 0
        assert row["images_per_second_low"] <= row["images_per_second"]
        assert row["peak_memory_bytes"] is None or row["peak_memory_bytes"] > 1e7
    with Image.open(tmp_path / "step.png") as picture:
        assert picture.size == (780, 540)
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert all(len(line) <= 80 for line in output.splitlines())
    assert "speed-up: plain / d3gan, with the smallest and the largest value" in output


def test_a_block_takes_half_a_second(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def seconds(trainer: Trainer, steps: int) -> float:
        asked.append(steps)
        return 0.1 * steps

    monkeypatch.setattr(stepping, "timed_steps", seconds)
    rows = stepping.measure(tiny, load_images(tiny.data), CPU, steps=0, warm_up=1, rounds=2)
    assert {row["steps"] for row in rows} == {5}
    assert asked[-4:] == [5] * 4


def test_widths_and_resolutions(tiny: Config, tmp_path: Path, capsys: Any) -> None:
    file = written(tiny, tmp_path, train={"precision": "fp32"})
    flags = ["--widths", "2", "4", "--resolutions", "16", "32", "--discriminators", "1"]
    flags += ["--batch-sizes", "4", "--warm-up", "1", "--rounds", "1", "--images", "10"]
    out = tmp_path / "step.json"
    assert main(["bench", "step", "--preset", str(file), *flags, "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"][::2]
    assert [(row["resolution"], row["width"]) for row in rows] == [
        (16, 2),
        (16, 4),
        (32, 2),
        (32, 4),
    ]
    operations = [row["flops_per_step"] for row in rows]
    assert operations == sorted(operations)


def test_more_images_than_there_are(tiny: Config, tmp_path: Path, capsys: Any) -> None:
    file = written(tiny, tmp_path)
    assert main(["bench", "step", "--preset", str(file), "--batch-sizes", "41"]) == 2
    assert "batch_sizes = 41" in capsys.readouterr().err
