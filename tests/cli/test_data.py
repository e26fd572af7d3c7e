"""d3gan data list, prepare, show and classifier."""

import dataclasses
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.program import run_code

from d3gan.cli.main import main
from d3gan.config import Config, DataConfig
from d3gan.data.labels import list_classes
from d3gan.data.sources import SOURCES
from d3gan.evaluation.features.classifier_files import read_file
from d3gan.training.preparation import load_training_images


def test_list_shows_every_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D3GAN_DATA", str(tmp_path))
    (tmp_path / "svhn").mkdir()
    assert main(["data", "list"]) == 0
    output = capsys.readouterr().out
    lines = output.splitlines()
    assert "hub: uoft-cs/cifar100" in output
    assert "$D3GAN_DATA/svhn" in output
    assert all(len(line) <= 80 for line in lines if str(tmp_path) not in line)
    assert [line.split()[0] for line in lines[1 : 1 + len(SOURCES)]] == list(SOURCES)


def test_prepare_counts_images_and_classes(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "plain.npy", np.zeros((5, 20, 20), np.uint8))
    for source, line in (
        (str(labelled), "200 images of 3 x 16 x 16, 4 classes"),
        (str(tmp_path / "plain.npy"), "5 images of 3 x 16 x 16, 0 classes"),
    ):
        assert main(["data", "prepare", source, "--resolution", "16"]) == 0
        assert capsys.readouterr().out.endswith(f"{line}\n")


def photos_of(classes: list[str], folder: Path) -> Path:
    """Return a folder with four images of each class."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(4):
            Image.effect_noise((16, 16), 50).save(folder / name / f"{number}.png")
    return folder


def test_classes_with_names_are_listed(
    tiny: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photos_of(["dogs", "boats", "cats"], tmp_path / "photos")
    line = "classes: 0 boats, 1 cats, 2 dogs"
    source = [str(folder), "--resolution", "16"]
    assert main(["data", "prepare", *source]) == 0
    assert line in capsys.readouterr().out.splitlines()
    assert main(["data", "show", *source, "-o", str(tmp_path / "grid.png")]) == 0
    assert line in capsys.readouterr().out.splitlines()
    data = DataConfig(source=str(folder), resolution=16)
    for conditional in (True, False):
        model = dataclasses.replace(tiny.model, conditional=conditional)
        train = dataclasses.replace(tiny.train, batch_size=4)
        load_training_images(dataclasses.replace(tiny, data=data, model=model, train=train))
        assert (line in capsys.readouterr().err) == conditional


def test_one_skipped_image_is_singular(
    tiny: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photos_of(["cats", "dogs"], tmp_path / "photos")
    data = DataConfig(source=str(folder), resolution=16, skip_broken=True)
    train = dataclasses.replace(tiny.train, batch_size=4)
    config = dataclasses.replace(tiny, data=data, train=train)
    for names, line in (
        (["1.png"], f"skipped 1 broken image: {folder / 'cats' / '1.png'}"),
        (["1.png", "2.png"], "skipped 2 broken images; the first one is "),
    ):
        for name in names:
            (folder / "cats" / name).write_text("no image")
        load_training_images(config)
        assert line in capsys.readouterr().err


def test_few_of_many_classes_and_no_bare_numbers_are_listed() -> None:
    assert list_classes([f"c{k}" for k in range(12)]).endswith("8 c8, 9 c9 and 2 more")
    assert list_classes([]) == list_classes(["0", "1"]) == list_classes(["000", "001"]) == ""
    assert list_classes(["1", "2"]) == "classes: 0 1, 1 2"


def test_grey_sources_are_shown_grey(tmp_path: Path) -> None:
    file = tmp_path / "digits.png"
    assert main(["data", "show", "digits", "-n", "4", "-o", str(file)]) == 0
    with Image.open(file) as picture:
        assert picture.mode == "L"
        assert min(picture.size) >= 480


def test_a_plugin_can_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_pictures.py").write_text(
        "import numpy as np\n"
        "def red():\n"
        "    images = np.zeros((3, 16, 16, 3), np.uint8)\n"
        "    images[..., 0] = 255\n"
        "    return images, np.arange(3)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main(["data", "show", "own_pictures:red", "-n", "1", "-o", "red.png"]) == 0
    with Image.open("red.png") as picture:
        assert (np.asarray(picture) == [255, 0, 0]).all(axis=2).any()


@pytest.mark.parametrize(
    "command",
    [
        "data list",
        "data show digts",
        "evaluate --help",
        "evaluate images --channels 2",
        "evaluate images --features vgg",
    ],
)
def test_these_commands_do_not_import_torch(command: str) -> None:
    code = (
        "import contextlib, sys; from d3gan.cli.main import main\n"
        "with contextlib.suppress(SystemExit):\n"
        "    main(sys.argv[1:])\n"
        "sys.exit('torch' in sys.modules)"
    )
    result = run_code(code, *command.split(), timeout=60)
    assert result.returncode == 0, result.stderr


def test_a_classifier_is_trained_and_written(
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    quick_classifier: None,
) -> None:
    file = tmp_path / "own.safetensors"
    flags = ["--resolution", "16", "-o", str(file)]
    assert main(["data", "classifier", str(labelled), *flags]) == 0
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert capsys.readouterr().out.endswith(f"{file} (SHA-256 {digest})\n")
    command = read_file(file, 3).command
    assert command == f"d3gan data classifier {labelled} -o own.safetensors --resolution 16"
    assert main(["data", "classifier", str(labelled), "-o", "own.pt"]) == 2
    assert ".safetensors" in capsys.readouterr().err
