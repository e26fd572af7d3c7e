"""A run recognises its images by their digest, wherever they are."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.program import weights

from d3gan import config as configs
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.training.checkpoint import read_checkpoint
from d3gan.training.trainer import train


@pytest.fixture
def half(tiny: Config) -> Config:
    """Configuration of a run that is trained for half of its epochs."""
    return configs.from_dict({"train": {"epochs": 1.0}}, tiny)


def test_images_that_were_moved_are_accepted(half: Config, tiny: Config, tmp_path: Path) -> None:
    whole = train(dataclasses.replace(tiny, name="whole"))
    run = train(half)
    source = Path(tiny.data.source)
    moved = source.rename(tmp_path / "moved.npz")
    with pytest.raises(UserError, match=r"noise\.npz.*: --data\.source PLACE$"):
        train(tiny, resume=True)
    assert main(["train", str(run.path), "--data.source", str(moved), "--train.epochs", "2"]) == 0
    assert configs.from_dict(run.config()).data.source == str(moved)
    one, other = weights(run.path), weights(whole.path)
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_other_images_are_refused_in_one_line(
    half: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(half)
    np.savez(tmp_path / "other.npz", images=np.zeros((40, 16, 16, 3), np.uint8))
    before = (run.config_file.read_bytes(), run.metrics_file.read_bytes())
    capsys.readouterr()
    other = ["--data.source", str(tmp_path / "other.npz")]
    assert main(["train", str(run.path), *other, "--train.epochs", "2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "other.npz': these are not the images that the run" in line
    assert (run.config_file.read_bytes(), run.metrics_file.read_bytes()) == before


def test_images_are_recognised_before_the_first_checkpoint(half: Config, tmp_path: Path) -> None:
    run = train(half)
    shutil.rmtree(run.checkpoints)
    run.checkpoints.mkdir()
    np.savez(tmp_path / "other.npz", images=np.zeros((40, 16, 16, 3), np.uint8))
    data = dataclasses.replace(half.data, source=str(tmp_path / "other.npz"))
    with pytest.raises(UserError, match="not the images that the run"):
        train(dataclasses.replace(half, data=data), resume=True)


def test_other_labels_are_refused_for_a_conditional_run(half: Config, tmp_path: Path) -> None:
    """The same files in other folders have the same content and other labels."""
    from PIL import Image

    names = [("a", 0), ("a", 1), ("b", 2), ("b", 3)] * 4
    rng = np.random.default_rng(0)
    for number, (folder, _) in enumerate(sorted(names)):
        file = tmp_path / "faces" / folder / f"{number:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(file)
    config = configs.from_dict(
        {"data": {"source": str(tmp_path / "faces")}, "model": {"conditional": True}}, half
    )
    run = train(config)
    assert "labels_digest" in read_checkpoint(run.checkpoint_file(2))
    first = tmp_path / "faces" / "b" / "08.png"
    first.rename(tmp_path / "faces" / "a" / "08.png")  # the order of the files stays
    with pytest.raises(UserError, match="but their labels are others"):
        train(config, resume=True)


def test_a_relative_source_is_saved_as_an_absolute_one(
    half: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = dataclasses.replace(half.data, source="noise.npz")
    run = train(dataclasses.replace(half, data=data, out_dir="runs"))
    assert configs.from_dict(run.config()).data.source == str(tmp_path / "noise.npz")
    # A run of an older version, whose paths are relative to the working directory.
    text = run.config_file.read_text(encoding="utf-8")
    run.config_file.write_text(text.replace(str(tmp_path / "noise.npz"), "noise.npz"))
    assert main(["train", str(run.path), "--train.epochs", "2"]) == 0


def test_half_written_files_of_a_killed_process_are_removed(half: Config) -> None:
    run = train(half)
    stale = run.checkpoints / ".step-00000010.pt.12345.tmp"
    stale.write_bytes(b"half")
    train(half, resume=True)
    assert not stale.exists()
