"""Wrong input is reported in one line that says what is wrong and what would be right."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.program import d3gan, forget_config, run_code, weights, written

from d3gan import config as configs
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.training.trainer import train


def error_line(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the error message of a command that fails with exit status 2."""
    capsys.readouterr()  # what was printed before the command
    status = main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    assert status == 2
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("d3gan: error: ")
    return line.removeprefix("d3gan: error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("trian mnist-d3gan", "there is no command 'trian' (did you mean 'train'?); commands: demo,"),
        ("train", "the first argument must be what to train: d3gan train PRESET|FILE|RUN; `d3gan presets` lists"),
        ("train --train.epochs 3", "the first argument must be what to train"),
        ("train mnist-d3gna", "there is no preset 'mnist-d3gna' (did you mean 'mnist-d3gan'?)"),
        ("train no/such/run", "no/such/run: there is no such file or folder"),
        ("train ./nope", "./nope: there is no such file or folder"),
        ("train no-such-file.toml", "there is no file no-such-file.toml"),
        ("train demo-dcgan --gan.discriminatrs 2", "(did you mean --gan.discriminators?)"),
        ("train demo-dcgan --gan.discriminators two", "--gan.discriminators two: must be an integer; see"),
        ("train demo-dcgan --gan.discriminators", "--gan.discriminators: needs a value; see"),
        ("train demo-dcgan --gan.discriminators 0", "gan.discriminators = 0: must be at least 1"),
        ("train demo-dcgan --model.generator-width -8", "model.generator_width = -8: must be at least"),
        ("train demo-dcgan --data.resolution 33", "data.resolution = 33: the dcgan architecture supports 16, 32, 64 or 128"),
        ("train demo-dcgan --gan.views flul", "gan.views = ['flul']: 'flul' is not a view (did you mean 'full'?)"),
        ("train demo-d3gan --gan.views full full lower", "must be one view for all discriminators or one for each of the 2"),
        ("train mnist-r3gan-small --data.resolution 64", "expansion=1) architecture supports 32"),
        ("train demo-d3gan --gan.views full lower(resolution=8)", "discriminator 1 sees 8 x 8 pixels: the dcgan architecture supports 16, 32, 64 or 128"),
        ("train demo-d3gan --gan.views projection(stride=5)", "projection: size = 8, stride = 5: the stride must be"),
        ("train demo-d3gan --gan.views patches(size=24,stride=16)", "gan.views = ['patches(size=24,stride=16)']: size = 24, stride = 16: patches must cover"),
        ("train demo-d3gan --gan.members dcgan(stages=6)", "data.resolution = 32: gan.members: the dcgan(stages=6) architecture supports 64"),
        ("train demo-d3gan --gan.members dcgan(stages=8)", "stages = 8: must be at least 0 and at most 7"),
        ("train demo-dcgan --data.channels 2", "--data.channels 2: must be one of '1', '3'; see"),
        ("train demo-dcgan --gan.aggregation softmx", "gan.aggregation = 'softmx' is not an aggregation rule (did you mean"),
        ("train demo-dcgan --gan.aggregation maxx", "or a plugin module.path:Name"),
        ("train demo-dcgan --optim.lr-g 0", "optim.lr_g = 0.0: must be above 0"),
        ("train demo-dcgan --optim.schedule cosin", "'cosin' is not a schedule (did you mean 'cosine'?); allowed: constant,"),
        ("train demo-dcgan --name a/b", "name = 'a/b': must be at most 200 letters, digits, spaces, . _ -"),
        ("train demo-dcgan --processes 0", "processes = 0: must be at least 1"),
        ("train demo-dcgan stray", "unexpected argument 'stray'"),
        ("train demo-dcgan --data.source /no/such", "no such folder or file: /no/such; there is no folder /no"),
        ("train demo-dcgan --data.source cifar-10", "(did you mean 'cifar10'?)"),
        ("train demo-dcgan --eval.metrics fid", "eval.metrics = ['fid']: 'fid' is not a metric of classifier"),
        ("train demo-dcgan --eval.monitor kdi", "eval.monitor = 'kdi': must be one of the metrics"),
        ("train demo-dcgan --eval.every-epochs 0 --eval.patience 2", "eval.patience = 2: needs eval.every"),
        ("train demo-dcgan --eval.samples 1", "eval.samples = 1: must be at least 2"),
        ("train demo-dcgan --eval.features vgg", "eval.features = 'vgg': must be inception, classifier"),
        ("train demo-dcgan --data.split test", "digits has no split 'test'; splits: train"),
        ("sample no/such/run", "there is no run at no/such/run"),
        ("sample", "missing argument: RUN; see d3gan sample --help"),
        ("evaluate", "missing argument: RUN|IMAGES; see d3gan evaluate --help"),
        ("evaluate --seed 3", "missing argument: RUN|IMAGES; see d3gan evaluate --help"),
        ("train demo-dcgan --epochs 3", "unknown flag --epochs (did you mean --train.epochs?)"),
        ("train demo-dcgan --gan.discriminator 3", "(did you mean --gan.discriminators?)"),
        ("train demo-dcgan --train.epochs abc", "--train.epochs abc: must be a number; see"),
        ("sample x --label a", "--label a: must be an integer; see d3gan sample --help"),
        ("sample x -n 0", "count = 0: must be at least 1"),
        ("sample x --seed -1", "seed = -1: must be at least 0"),
        ("export no/such/run -o g.safetensors", "there is no run at no/such/run"),
        ("export x", "--output PATH; for example d3gan export runs/demo-d3gan -o demo.safetensors; see"),
        ("export x --format onnx", "--format: the name after -o decides the format, NAME.safetensors or"),
        ("data", "write d3gan data list|prepare|show|classifier"),
        ("data lst", "there is no command 'data lst' (did you mean 'list'?); write d3gan data list|"),
        ("bench", "write d3gan bench step|data|scaling"),
        ("cache clean", "there is no command 'cache clean' (did you mean 'clear'?); write d3gan cache list|"),
        ("data show digts", "there is no data source 'digts' (did you mean 'digits'?)"),
        ("data show digits --resolution 2", "data.resolution = 2: must be at least 4 and at most"),
        ("demo --epochs -1", "train.epochs = -1.0: must be at least 0.000001 and at most 1,000,000"),
        ("demo --epochs inf", "train.epochs = inf: must be at least 0.000001 and at most 1,000,000"),
        ("demo --json no/folder/a.json", "cannot write JSON to no/folder/a.json: must be a file"),
        ("train demo-dcgan --json no/folder/a.json", "cannot write JSON to no/folder/a.json"),
        ("train demo-dcgan --train.batch-size 9999999999", "must be at least 1 and at most 1,000,000"),
        ("train demo-dcgan --train.batch-size 6000", "digits has only 5000 images; use --train.batch-size 5000 or less, or more"),
        ("data show digits --seed -1", "seed = -1: must be at least 0"),
        ("data show digits -o a.jpg", "output = 'a.jpg': must be a name that ends in .png"),
        ("sample x --format npz -o a.png", "output = 'a.png': must be a name that ends in .npz"),
    ],
)  # fmt: skip
def test_wrong_arguments(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert message in error_line(capsys, *arguments.split())
    assert list(tmp_path.iterdir()) == [], "nothing was written"


def test_empty_folders_are_reported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no images" in error_line(capsys, "train", "demo-dcgan", "--data.source", empty)
    assert "there is no run at" in error_line(capsys, "train", empty)
    assert "there is no run at" in error_line(capsys, "sample", empty)
    assert list(empty.iterdir()) == []


def test_a_broken_image_is_reported_and_can_be_skipped(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny: Config
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(12):
        Image.effect_noise((20, 20), 50).save(folder / f"{number}.png")
    (folder / "4.png").write_bytes((folder / "4.png").read_bytes()[:60])
    (folder / "7.png").write_text("a letter")
    line = error_line(capsys, "data", "prepare", folder)
    assert f"broken image {folder / '4.png'}: " in line
    assert "2 of 12 images are broken" in line
    assert "--data.skip-broken" in line
    file = written(tiny, tmp_path, data={"source": str(folder)})
    assert main(["train", str(file), "--data.skip-broken"]) == 0
    assert "skipped 2 broken images; the first one is" in capsys.readouterr().err
    assert tiny.run_dir.is_dir()


def test_an_unreadable_folder_is_reported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def forbidding(folder: str | Path) -> Any:
        if Path(folder) == tmp_path:
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", forbidding)
    line = error_line(capsys, "data", "show", tmp_path)
    assert line == f"cannot read {tmp_path}: Permission denied"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_an_unwritable_place_is_reported(
    capsys: pytest.CaptureFixture[str], tiny: Config, tmp_path: Path
) -> None:
    line = error_line(capsys, "train", written(tiny, tmp_path), "--out-dir", "/proc/runs")
    assert "cannot write to /proc/runs/tiny" in line
    run = train(tiny)
    assert "cannot write to /proc" in error_line(
        capsys, "sample", run.path, "-o", "/proc/a/grid.png"
    )


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_folders_without_permission_are_reported(tiny: Config, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read and write everything")
    for folder, flag in (("unreadable", "--data.source"), ("unwritable", "--out-dir")):
        (tmp_path / folder).mkdir(mode=0o300 if folder == "unreadable" else 0o500)
        result = d3gan("train", written(tiny, tmp_path), flag, tmp_path / folder)
        assert result.returncode == 2
        assert "Permission denied" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_an_out_dir_that_cannot_be_created_is_reported(
    capsys: pytest.CaptureFixture[str], tiny: Config, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    line = error_line(capsys, "train", written(tiny, tmp_path), "--out-dir", tmp_path / "taken")
    assert "cannot write to" in line
    assert "choose another place" in line


def test_a_run_is_neither_overwritten_nor_changed_on_resume(
    capsys: pytest.CaptureFixture[str], tiny: Config, tmp_path: Path
) -> None:
    file = written(tiny, tmp_path)
    run = train(tiny)
    before = {f: f.read_bytes() for f in run.path.rglob("*") if f.is_file()}
    assert f"continue it with `d3gan train {run.path}`" in error_line(capsys, "train", file)
    line = error_line(capsys, "train", run.path, "--model.latent-dim", 9)
    assert (
        "model.latent_dim = 9: cannot change when a run is resumed, because it changes the result"
        in line
    )
    assert {f: f.read_bytes() for f in run.path.rglob("*") if f.is_file()} == before


def test_the_checkpoint_before_a_corrupt_one_is_used(
    capsys: pytest.CaptureFixture[str], tiny: Config, tmp_path: Path
) -> None:
    run = train(tiny)
    newest = run.checkpoint_file(10)
    newest.write_bytes(newest.read_bytes()[:-100])
    assert main(["sample", str(run.path), "-o", str(tmp_path / "grid.png")]) == 0
    output = capsys.readouterr()
    assert f"warning: broken checkpoint {newest}" in output.err
    assert "64 images from step 5" in output.out
    run.checkpoint_file(5).write_bytes(b"")
    assert main(["sample", str(run.path), "-o", str(tmp_path / "grid.png")]) == 2
    assert "restore one from a copy, or train a new run" in capsys.readouterr().err


def test_labels_that_do_not_exist_are_reported(
    capsys: pytest.CaptureFixture[str], tiny: Config, tmp_path: Path
) -> None:
    file = tmp_path / "grid.png"
    run = train(tiny)
    line = error_line(capsys, "sample", run.path, "--label", 3, "-o", file)
    assert line == "label = 3: the generator is unconditional; leave the label out"
    conditional = train(
        configs.from_dict({"name": "conditional", "model": {"conditional": True}}, tiny)
    )
    for label in (4, -1):
        line = error_line(capsys, "sample", conditional.path, "--label", label, "-o", file)
        assert line == f"label = {label}: must be at least 0 and below 4"
    flags = ("--label", 3, "--interpolate", "-o", file)
    assert "leave one out" in error_line(capsys, "sample", conditional.path, *flags)
    assert not file.exists()


def test_an_export_that_cannot_be_written_is_reported(
    capsys: pytest.CaptureFixture[str], tiny: Config, tmp_path: Path
) -> None:
    run = train(tiny)
    line = error_line(capsys, "export", run.path, "-o", tmp_path / "generator.pt")
    assert "must be a name that ends in .safetensors or .onnx" in line
    (tmp_path / "file").touch()
    line = error_line(capsys, "export", run.path, "-o", tmp_path / "file" / "g.safetensors")
    assert f"cannot write to {tmp_path / 'file'}" in line
    (tmp_path / "fake.safetensors").write_bytes(b"nonsense")
    assert "cannot read" in error_line(capsys, "sample", tmp_path / "fake.safetensors")


FULL_DISK = """
import resource, sys
from pathlib import Path
from d3gan.training import checkpoint
save = checkpoint.save_checkpoint
from d3gan.training import trainer

def limited(run, saved, keep):
    if saved["step"] == 10:  # limits the size of every file to 20 kB
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    return save(run, saved, keep)

trainer.save_checkpoint = limited
from d3gan.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_disk_keeps_the_last_checkpoint(tiny: Config, tmp_path: Path) -> None:
    file = written(tiny, tmp_path)
    result = run_code(FULL_DISK, "train", file)
    assert result.returncode == 2, result.stderr
    *_, line = result.stderr.splitlines()
    assert line.startswith("d3gan: error: cannot write to ")
    assert "free some space" in line
    run = tiny.run_dir
    assert [f.name for f in (run / "checkpoints").iterdir()] == ["step-00000005.pt"]
    assert d3gan("train", run).returncode == 0, "the run resumes once there is room"
    uninterrupted = train(dataclasses.replace(tiny, name="whole"))
    one, other = weights(run), weights(uninterrupted.path)
    assert all(np.array_equal(one[name], other[name]) for name in other)


def test_a_broken_checkpoint_replaces_no_valid_one(tiny: Config) -> None:
    run = train(tiny)
    run.checkpoint_file(10).write_bytes(b"cut short")
    (run.checkpoints / "step-00000010 (copy).pt").write_bytes(b"a stray file")
    more = ["--train.epochs", "1.5", "--checkpoint.keep", "1"]
    assert main(["train", str(run.path), *more]) == 0
    assert sorted(file.name for file in run.checkpoints.iterdir()) == [
        "step-00000008.pt", "step-00000010 (copy).pt", "step-00000010.pt.broken",
    ]  # fmt: skip


def test_a_run_is_neither_shortened_nor_moved_on_resume(
    capsys: pytest.CaptureFixture[str], tiny: Config, tmp_path: Path
) -> None:
    run = train(tiny)
    line = error_line(capsys, "train", run.path, "--train.epochs", 1)
    assert "train.epochs = 1: " in line
    assert "has already been trained for longer, to step 10" in line
    line = error_line(capsys, "train", run.path, "--out-dir", tmp_path / "other")
    assert "cannot change when a run is resumed" in line
    assert configs.to_toml(tiny) == run.config_file.read_text(encoding="utf-8")


def test_the_demo_refuses_another_run_of_the_same_name(
    capsys: pytest.CaptureFixture[str], tiny: Config, tmp_path: Path
) -> None:
    train(dataclasses.replace(tiny, name="demo-dcgan", out_dir=str(tmp_path)))
    line = error_line(capsys, "demo", "--out-dir", tmp_path)
    assert "cannot change when a run is resumed" in line


def test_weights_that_do_not_fit_the_config_are_reported(
    capsys: pytest.CaptureFixture[str], tiny: Config
) -> None:
    run = train(tiny)
    text = run.config_file.read_text(encoding="utf-8")
    run.config_file.write_text(text.replace("generator_width = 4", "generator_width = 5"))
    line = error_line(capsys, "train", run.path)
    assert "model.generator_width = 5: cannot change" in line
    assert "the run has 4" in line
    forget_config(run)
    assert "does not match the run's config.toml" in error_line(capsys, "train", run.path)
    assert "do not match their configuration" in error_line(capsys, "sample", run.path)


def test_a_config_with_an_unknown_key_is_reported(
    capsys: pytest.CaptureFixture[str], tiny: Config
) -> None:
    run = train(tiny)
    text = configs.to_toml(tiny).replace("latent_dim", "latent_size")
    run.config_file.write_text(text)
    assert "unknown key model.latent_size = 8 (did you mean" in error_line(
        capsys, "train", run.path
    )
