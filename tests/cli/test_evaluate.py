"""d3gan evaluate, as a user calls it."""

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.evaluation.features.test_inception import random_network
from tests.program import finish, start_process

from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.evaluation.features import inception_weights
from d3gan.training.inference import load
from d3gan.training.trainer import train


@pytest.fixture
def evaluated(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Return a function that evaluates and returns the JSON."""

    def run(*arguments: object) -> Any:
        assert main(["evaluate", *map(str, arguments), "--json", "-"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: object) -> str:
        capsys.readouterr()  # what was printed before the command
        assert main(["evaluate", *map(str, arguments)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("d3gan: error: ")

    return run


def test_a_run_has_the_numbers_of_its_training(
    measured: Config, evaluated: Callable[..., Any]
) -> None:
    run = train(measured)
    last = [row for row in run.metrics() if row["kind"] == "eval"][-1]
    got = evaluated(run.path, "--samples", 150, "--seed", 0, "--draws", 1)
    assert (got["step"], got["target"]) == (8, str(run.path))
    assert (got["draws"], got["seeds"]) == (1, [0])
    assert got["protocol"] == last["protocol"]
    assert got["fd"] == pytest.approx(last["fd"], rel=1e-4)  # trained in float64


def test_a_run_is_measured_on_draws_that_did_not_select_it(
    measured: Config, evaluated: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """By default these are the draws of the report, and its numbers."""
    run = train(measured)
    report = run.metrics()[-1]
    flags = ("--samples", 150, "--checkpoint", "best")
    got = evaluated(run.path, *flags)
    assert (got["draws"], got["seeds"]) == (3, [1, 2, 3])
    assert got == {key: report[key] for key in got if key != "target"} | {"target": str(run.path)}
    of_draws = [
        evaluated(run.path, *flags, "--seed", seed, "--draws", 1)["kd"] for seed in (1, 2, 3)
    ]
    assert got["kd"] == pytest.approx(fmean(of_draws), rel=1e-9)
    assert got["kd_stderr"] == pytest.approx(stdev(of_draws) / 3**0.5, rel=1e-9)
    assert main(["evaluate", str(run.path), *map(str, flags)]) == 0
    shown = capsys.readouterr().out
    assert "mean ± standard error over 3 draws" in shown
    assert "lower is better: fd, kd, kl_uniform, kl_data\nhigher is better: cs, " in shown
    assert "cs: classifier score, the Inception Score with this classifier\n" in shown
    assert "compared with " in shown
    assert re.search(r"^modes: modes covered, of \d+$", shown, re.MULTILINE)


def test_all_checkpoints_give_a_curve(
    measured: Config, evaluated: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(measured)
    flags = ("--samples", "150", "--metrics", "fd", "recall")
    rows = evaluated(run.path, *flags, "--checkpoint", "all")
    assert sorted(row["step"] for row in rows) == sorted({4, 8} | {row["step"] for row in rows})
    assert all({"fd", "recall"} < set(row) and "kd" not in row for row in rows)
    best = evaluated(run.path, *flags, "--checkpoint", "best")
    assert best in [row | {"step": best["step"]} for row in rows if row["step"] == best["step"]]
    assert evaluated(run.path, *flags, "--checkpoint", 4) in rows
    assert main(["evaluate", str(run.path), *flags, "--checkpoint", "all"]) == 0
    table = capsys.readouterr().out
    assert "step 4" in table
    marks, headings = table.splitlines()[:2]
    assert marks.split() == ["best"]
    assert headings[: len(marks)].endswith(f"step {best['step']}")
    assert "mean ± standard error over 3 draws of latents (seeds 1 to 3)" in table
    plain = [line for line in table.splitlines() if measured.out_dir not in line]
    assert all(len(line) <= 80 for line in plain if measured.data.source not in line)


def test_an_export_is_measured_as_its_run(
    measured: Config, evaluated: Callable[..., Any], tmp_path: Path
) -> None:
    run = train(measured)
    file = tmp_path / "g.safetensors"
    load(run.path).save(file)
    one, other = (
        evaluated(target, "--samples", 150, "--metrics", "kd") for target in (run.path, file)
    )
    assert one["kd"] == other["kd"]


def test_two_image_folders_without_a_run(
    tmp_path: Path, evaluated: Callable[..., Any], labelled: Path
) -> None:
    rng = np.random.default_rng(0)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for number in range(30):
            pixels = rng.integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    got = evaluated(
        tmp_path / "a", "--against", tmp_path / "b",
        "--features", f"classifier:{labelled}", "--metrics", "kd", "precision",
    )  # fmt: skip
    assert (got["protocol"]["resolution"], got["protocol"]["channels"]) == (20, 3)
    assert (got["protocol"]["generated_images"], got["protocol"]["seed"]) == (30, None)
    assert not {"step", "draws", "seeds"} & set(got)


@pytest.mark.slow
def test_inception_from_a_local_file(
    tmp_path: Path,
    evaluated: Callable[..., Any],
    labelled: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "weights.pth"
    torch.save(random_network().state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(inception_weights, "SHA256", digest)
    real = tmp_path / "real.npy"
    np.save(real, np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), np.uint8))
    flags = ("--against", real, "--weights", file, "--samples", 20)
    got = evaluated(labelled, *flags, "--metrics", "is", "kid", "recall")
    assert {"is", "kid", "recall"} < set(got)
    assert not {"fid", "fd", "cs"} & set(got)
    assert got["protocol"]["features"] == "inception"
    assert got["protocol"]["weights_sha256"] == digest
    assert got["protocol"]["resize"] == "tf1 bilinear to 299"


def test_mistakes(measured: Config, complaint: Callable[..., str], labelled: Path) -> None:
    run = train(measured).path
    cases = {
        ("no/such/place",): "no such folder or file: no/such/place",
        (labelled,): f"name the real images to compare {labelled} with: --against SOURCE",
        (run, "--metrics", "fid"): "'fid' is not a metric of classifier features (it is fd)",
        (
            run,
            "--features",
            "vgg",
        ): "eval.features = 'vgg': must be inception, classifier,",
        (run, "--samples", "100"): "fd needs at least 129 generated images",
        (run, "--samples", "1"): "samples = 1: must be at least 2",
        (run, "--checkpoint", "7"): "has no checkpoint '7'; it has: best, 4, 8",
        (run, "--checkpoint", "first"): "checkpoint = 'first': must be best, last or a step",
        (run, "--resolution", "32"): "resolution and channels are fixed by the run",
        (run, "--against", "cifar-10"): "(did you mean 'cifar10'?)",
        (run, "--seed", "-1"): "seed = -1: must be at least 0",
        (labelled, "--against", labelled, "--samples", "201"): "has only 200 images",
        (labelled, "--against", labelled, "--channels", "2"): "channels = 2: must be 1 or 3",
        (run, "--split", "test"): "split is for images; for the real images give --against-split",
        (
            run,
            "--weights",
            "w",
            "--features",
            "classifier",
        ): "cannot read the classifier w: No such file or directory",
        (
            run,
            "--weights",
            "w",
            "--features",
            "own.module:Network",
        ): "weights = 'w': own.module:Network loads its own; omit them",
        (run, "--against", "mnist", "--against-split", "x"): "mnist has no split 'x'",
        (run, "--draws", "0"): "draws = 0: must be at least 1",
        (labelled, "--against", labelled, "--seed", "7"): "draws, seed and checkpoint are for runs",
        (labelled, "--against", labelled, "--draws", "1"): "seed and checkpoint are for runs",
        (
            labelled,
            "--against",
            labelled,
            "--checkpoint",
            "all",
        ): "seed and checkpoint are for runs",
        (run, "--json", "no/such/folder/x.json"): "cannot write JSON to no/such/folder/x.json",
    }
    for arguments, message in cases.items():
        assert message in complaint(*arguments), arguments


def test_a_run_without_checkpoints(measured: Config, complaint: Callable[..., str]) -> None:
    run = train(measured)
    for file in run.checkpoints.iterdir():
        file.unlink()
    for which in ("all", "last"):
        assert "has no checkpoint yet; train it" in complaint(run.path, "--checkpoint", which)


def test_a_broken_best_checkpoint(measured: Config, complaint: Callable[..., str]) -> None:
    run = train(measured)
    run.best_file.write_bytes(run.best_file.read_bytes()[:5000])
    assert "broken checkpoint" in complaint(run.path, "--checkpoint", "best")


def test_the_best_checkpoint_can_be_sampled_and_exported(measured: Config, tmp_path: Path) -> None:
    run = train(measured)
    best = load(run.path, "best")
    for name, trained in (("best", best), ("4", load(run.path, "4")), ("last", load(run.path))):
        file = tmp_path / f"{name}.npz"
        flags = ["--format", "npz", "-n", "3", "-o", str(file), "--checkpoint", name]
        assert main(["sample", str(run.path), *flags]) == 0
        expected = trained.sample(3)
        with np.load(file) as saved:
            assert np.array_equal(saved["images"], expected)
    export = tmp_path / "best.safetensors"
    assert main(["export", str(run.path), "-o", str(export), "--checkpoint", "best"]) == 0
    assert load(export).step == best.step


def test_the_score_does_not_depend_on_the_order_of_images(
    labelled: Path, tmp_path: Path, evaluated: Callable[..., Any]
) -> None:
    with np.load(labelled) as saved:
        images, labels = saved["images"], saved["labels"]
    order = np.argsort(labels, kind="stable")
    np.savez(tmp_path / "sorted.npz", images=images[order])
    flags = ("--against", labelled, "--features", f"classifier:{labelled}", "--metrics", "cs")
    one, other = (evaluated(file, *flags)["cs"] for file in (labelled, tmp_path / "sorted.npz"))
    assert other == pytest.approx(one, rel=0.05)
    assert other > 3.5


@pytest.mark.skipif(os.name == "nt", reason="makes a pipe and a link as POSIX has them")
def test_json_replaces_neither_a_link_nor_a_device(measured: Config, tmp_path: Path) -> None:
    run = train(measured)
    flags = ["--samples", "150", "--metrics", "fd"]
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    assert main(["evaluate", str(run.path), *flags, "--json", str(tmp_path / "link.json")]) == 0
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["fd"] > 0
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert main(["evaluate", str(run.path), *flags, "--json", str(pipe)]) == 0
        assert json.loads(os.read(reader, 100_000))["fd"] > 0
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_full_standard_output_is_reported() -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("w") as full:
        process = start_process([sys.executable, "-m", "d3gan", "presets"], stdout=full)
        result = finish(process, timeout=60)
    assert result.returncode == 2
    assert result.stderr.startswith("d3gan: error: cannot write the output: No space left")
