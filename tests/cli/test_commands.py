"""Commands that succeed."""

import dataclasses
import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.program import (
    chosen,
    d3gan,
    posix_signals,
    start,
    symbolic_links,
    wait_for,
    weights,
    written,
)

import d3gan as package
from d3gan import config as configs
from d3gan import config_files
from d3gan.cli.main import COMMANDS, main
from d3gan.config import Config
from d3gan.runs import RunFolder
from d3gan.training.trainer import train


@pytest.fixture
def run(tiny: Config) -> Path:
    return train(tiny).path


def size(file: Path) -> tuple[int, int]:
    with Image.open(file) as picture:
        return picture.size


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main([command, "--help"])
    except SystemExit as end:
        status = end.code  # type: ignore[assignment]
    assert not status
    output = capsys.readouterr().out
    assert f"d3gan {command}" in output
    assert all(len(line) <= 80 for line in output.splitlines())


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert main(["--help"]) == 0
    assert main(["--version"]) == 0
    output = capsys.readouterr().out
    assert all(f"  {command} " in output for command in COMMANDS)
    assert "d3gan 0." in output


def test_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    output = capsys.readouterr().out
    assert all(name in output for name in config_files.presets())


def test_train_by_flags_over_a_file(tiny: Config, tmp_path: Path) -> None:
    file = written(tiny, tmp_path)
    flags = "--gan.discriminators 3 --gan.r1-gamma=0.5 --gan.aggregation softmax(temperature=0.5)"
    assert main(["train", str(file), *flags.split(), "--data.flip", "--seed", "7"]) == 0
    config = config_files.load_file(RunFolder(tiny.run_dir).config_file)
    gan = dataclasses.replace(
        tiny.gan,
        discriminators=3,
        penalties=("r1(gamma=0.5)",),
        aggregation="softmax(temperature=0.5)",
    )
    data = dataclasses.replace(tiny.data, flip=True)
    assert config == dataclasses.replace(tiny, gan=gan, data=data, seed=7)
    assert RunFolder(tiny.run_dir).sessions()[0]["plugins"] == {}


def test_an_ini_of_the_succeeded_project_trains(tiny: Config, tmp_path: Path) -> None:
    file = tmp_path / "config.ini"
    file.write_text(
        "[parameters]\ntype = d3gan\nnz = 8\nngf = 4\nndf = 4\nbatch_size = 8\nepochs = 1\n"
    )
    flags = ["--data.source", tiny.data.source, "--data.resolution", "16", "--name", "old"]
    assert main(["train", str(file), *flags, "--out-dir", str(tmp_path)]) == 0
    assert len(RunFolder(tmp_path / "old").metrics()[-1]["loss_d"]) == 2


@pytest.mark.slow
@posix_signals
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_resumes_bit_for_bit(
    tiny: Config, tmp_path: Path, number: signal.Signals
) -> None:
    long = {"train": {"epochs": 40.0, "log_every_steps": 3}}
    uninterrupted = train(configs.from_dict({"name": "whole"} | long, tiny))
    run = tiny.run_dir
    process = start("train", written(tiny, tmp_path, **long))
    wait_for(lambda: RunFolder(run).metrics(), process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    *_, interrupted = errors.splitlines()
    assert f"continue with `d3gan train {run}`" in interrupted
    assert not (run / "checkpoints" / "step-00000200.pt").exists(), (
        "the run was stopped before its end"
    )
    result = d3gan("train", run)
    assert result.returncode == 0, result.stderr
    assert chosen(run) == chosen(uninterrupted.path)
    one, other = weights(run), weights(uninterrupted.path)
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_moved_run_is_resumed_in_its_new_folder(run: Path, tmp_path: Path) -> None:
    moved = run.rename(tmp_path / "renamed")
    assert main(["train", str(moved), "--train.epochs", "3"]) == 0
    assert RunFolder(moved).metrics()[-1]["step"] == 15
    assert not run.exists()


@symbolic_links
def test_a_run_is_resumed_through_a_link_or_as_the_working_directory(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "latest").symlink_to(run)
    assert main(["train", str(tmp_path / "latest"), "--train.epochs", "3"]) == 0
    assert RunFolder(run).metrics()[-1]["step"] == 15
    monkeypatch.chdir(run)
    assert main(["train", ".", "--train.epochs", "4"]) == 0
    assert RunFolder(run).metrics()[-1]["step"] == 20
    assert list(tmp_path.glob("*/tiny")) == [run]


def test_a_run_records_its_commit(run: Path) -> None:
    if not (Path(__file__).parents[2] / ".git").exists():
        pytest.skip("not a checkout")
    (session,) = RunFolder(run).sessions()
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", session["commit"])


def test_training_a_finished_run_changes_nothing(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "metrics.jsonl").read_bytes()
    assert main(["train", str(run)]) == 0
    assert "10 steps" in capsys.readouterr().out
    assert main(["train", str(run), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 80
    assert (run / "metrics.jsonl").read_bytes() == before


def test_sample_a_grid(run: Path, tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in ("a.png", "b.png", "new/c.png"))
    assert main(["sample", str(run), "-n", "9", "--seed", "5", "-o", str(first)]) == 0
    assert main(["sample", str(run), "-n", "9", "--seed", "5", "-o", str(second)]) == 0
    assert main(["sample", str(run), "-n", "9", "--seed", "6", "-o", str(other)]) == 0
    assert size(first) == (56, 56)
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()


def test_png_files_and_the_array_hold_the_same_images(run: Path, tmp_path: Path) -> None:
    folder, array = tmp_path / "many", tmp_path / "many.npz"
    count = ["-n", "70", "--seed", "3"]
    assert main(["sample", str(run), *count, "--format", "png", "-o", str(folder)]) == 0
    assert main(["sample", str(run), *count, "--format", "npz", "-o", str(array)]) == 0
    with np.load(array) as file:
        images = file["images"]
    assert images.shape == (70, 16, 16, 3)
    for number, name in enumerate(sorted(folder.iterdir())):
        with Image.open(name) as picture:
            assert np.array_equal(np.asarray(picture), images[number])
    assert main(["data", "prepare", str(folder), "--resolution", "16"]) == 0


@pytest.fixture
def conditional(tiny: Config) -> Path:
    return train(configs.from_dict({"model": {"conditional": True}}, tiny)).path


def test_a_conditional_grid_has_one_row_per_class(conditional: Path, tmp_path: Path) -> None:
    file, export = tmp_path / "grid.png", tmp_path / "g.safetensors"
    assert main(["export", str(conditional), "-o", str(export)]) == 0
    for source in (conditional, export):
        assert main(["sample", str(source), "-n", "12", "-o", str(file)]) == 0
        assert size(file) == (3 * 18 + 2, 4 * 18 + 2)
    pixels = np.asarray(Image.open(file))
    second_row = package.load(conditional).sample(3, label=1)
    assert np.array_equal(pixels[20:36, 2:18], second_row[0])


def test_samples_of_one_class_and_of_random_classes(conditional: Path, tmp_path: Path) -> None:
    file, folder = tmp_path / "many.npz", tmp_path / "many"
    arguments = ["sample", str(conditional), "-n", "20", "--format", "npz", "-o", str(file)]
    assert main([*arguments, "--label", "3"]) == 0
    with np.load(file) as arrays:
        assert arrays["labels"].tolist() == [3] * 20
        threes = arrays["images"]
    assert main(arguments) == 0
    with np.load(file) as arrays:
        labels, images = arrays["labels"], arrays["images"]
    assert set(labels.tolist()) == {0, 1, 2, 3}
    same = [np.array_equal(a, b) for a, b in zip(images, threes, strict=True)]
    assert same == [label == 3 for label in labels]
    flags = ["--label", "3", "--format", "png", "-n", "20", "-o", str(folder)]
    assert main(["sample", str(conditional), *flags]) == 0
    with Image.open(folder / "000019.png") as picture:
        assert np.array_equal(np.asarray(picture), threes[19])


def test_interpolation_leads_from_one_image_to_another(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "walk.png"
    assert main(["sample", str(run), "-n", "16", "--interpolate", "-o", str(file)]) == 0
    assert size(file) == (8 * 18 + 2, 2 * 18 + 2)
    trained = package.load(run)
    row = trained.interpolate(1, 8, seed=0)
    ends = trained.sample(2, seed=0)
    assert np.abs(row[[0, 7]].astype(int) - ends).max() <= 1
    assert np.abs(row[3].astype(int) - ends[0]).max() > 1


def test_load_and_sample_from_python(run: Path) -> None:
    images = package.load(str(run)).sample(64, seed=0)
    assert (images.shape, images.dtype) == ((64, 16, 16, 3), np.uint8)
    assert np.array_equal(package.load(run).sample(10, seed=0, first=54), images[54:])


def test_an_export_gives_the_same_images_as_the_run(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "g.safetensors"
    assert main(["export", str(run), "-o", str(file)]) == 0
    exported, kept = (package.load(path).sample(5, seed=2) for path in (file, run))
    assert np.array_equal(exported, kept)
    assert main(["sample", str(file), "-n", "4", "-o", str(tmp_path / "grid.png")]) == 0
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.filterwarnings("ignore")  # the exporter warns
def test_onnx_gives_the_same_images_as_the_run(run: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx.reference")
    file = tmp_path / "g.onnx"
    assert main(["export", str(run), "-o", str(file)]) == 0
    trained = package.load(run)
    for count in (1, 5):
        z = torch.randn(count, 8)
        (images,) = onnx.ReferenceEvaluator(str(file)).run(None, {"z": z.numpy()})
        torch.testing.assert_close(torch.from_numpy(images), trained(z), atol=2e-5, rtol=0)


@pytest.mark.slow
def test_the_demo_writes_table_grid_and_animation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quick_classifier: None
) -> None:
    assert main(["demo", "--out-dir", str(tmp_path), "--epochs", "0.1"]) == 0
    output = capsys.readouterr().out
    assert "demo-dcgan" in output
    assert "demo-d3gan" in output
    with Image.open(tmp_path / "demo.gif") as film:
        assert film.n_frames == 2
    assert size(tmp_path / "demo-grid.png")[0] > size(tmp_path / "demo-grid.png")[1]
    before = {name: weights(tmp_path / name) for name in ("demo-dcgan", "demo-d3gan")}
    again = ["demo", "--out-dir", str(tmp_path), "--epochs", "0.1", "--json", "-"]
    assert main(again) == 0, "the demo can be repeated"
    assert [row["steps"] for row in json.loads(capsys.readouterr().out)] == [16, 16]
    for name, tensors in before.items():
        now = weights(tmp_path / name)
        assert all(torch.equal(now[key], tensor) for key, tensor in tensors.items())


@pytest.mark.parametrize(
    "name", ["mnist-d3gan", pytest.param("cifar10-d3gan", marks=pytest.mark.slow)]
)
def test_training_on_real_images_writes_every_file(
    name: str, data_folder: Path, tmp_path: Path, quick_classifier: None
) -> None:
    flags = ["--train.epochs", "1", "--data.limit", "256", "--model.generator-width", "8"]
    flags += ["--eval.samples", "200"]
    small = ["--model.discriminator-width", "8", "--out-dir", str(tmp_path)]
    assert main(["train", name, *flags, *small]) == 0
    run = tmp_path / name
    found = {file.name.partition(".tfevents")[0] for file in run.iterdir()} - {".lock"}
    assert found == {
        "config.toml", "environment.json", "kernels.json", "status.json", "metrics.jsonl",
        "samples",
        "checkpoints", "events.out",
    }  # fmt: skip
    assert {file.name for file in (run / "checkpoints").iterdir()} == {
        "best.pt",
        "step-00000002.pt",
    }
    evaluations = [row for row in RunFolder(run).metrics() if row["kind"] == "eval"]
    assert [row["step"] for row in evaluations] == [0, 2]
    for row in evaluations:
        assert row["protocol"]["features"] == f"classifier:{name.removesuffix('-d3gan')}"


def test_closing_the_output_is_not_an_error() -> None:
    process = start("presets")
    assert process.stdout
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr
    with process.stderr as errors:
        assert errors.read() == ""
