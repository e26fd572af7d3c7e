"""Files of the user are never replaced; those of d3gan are recognised by their content."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from d3gan.cli.main import main
from d3gan.cli.printing import check_json
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.outputs import check_picture_folder, check_replaceable, is_own
from d3gan.training.trainer import train


@pytest.fixture
def run(tiny: Config) -> str:
    return str(train(tiny).path)


def picture(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(file)
    return file


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("sample",), "a.png"),
        (("sample", "--format", "npz"), "a.npz"),
        (("export",), "a.safetensors"),
        (("export",), "a.onnx"),
        (("report",), "a.html"),
    ],
)
def test_a_file_of_ours_is_replaced(
    run: str, tmp_path: Path, command: tuple[str, ...], name: str
) -> None:
    file = tmp_path / name
    arguments = [command[0], run, *command[1:], "-o", str(file)]
    assert main(arguments) == 0
    first = file.read_bytes()
    assert is_own(file)
    assert main(arguments) == 0
    assert file.read_bytes() == first
    file.write_bytes(b"of the user")
    assert not is_own(file)
    assert main(arguments) == 2
    assert file.read_bytes() == b"of the user"


def test_an_array_keeps_its_content_beside_the_mark(run: str, tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    assert main(["sample", run, "-n", "5", "--format", "npz", "-o", str(file)]) == 0
    with np.load(file) as arrays:
        assert arrays["images"].shape == (5, 16, 16, 3)
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None


def test_with_overwrite_the_folder_holds_the_new_images_and_all_else(
    run: str, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    arguments = ["sample", run, "--format", "png", "-o", str(folder)]
    assert main([*arguments, "-n", "6"]) == 0
    (folder / "notes.txt").write_text("mine")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert main([*arguments, "-n", "3"]) == 2
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert main([*arguments, "-n", "3", "--overwrite"]) == 0
    names = sorted(file.name for file in folder.iterdir())
    assert names == ["000000.png", "000001.png", "000002.png", "notes.txt"]
    assert (folder / "notes.txt").read_text() == "mine"
    mine = picture(folder / "000001.png")
    content = mine.read_bytes()
    assert main([*arguments, "-n", "3", "--overwrite"]) == 2
    assert mine.read_bytes() == content


@pytest.mark.parametrize("name", ["a.JPG", "000000.png", "cats/b.webp", "data.parquet", "x.npz"])
def test_a_folder_of_training_data_is_never_written_to(tmp_path: Path, name: str) -> None:
    file = tmp_path / "photos" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"not empty|perhaps training data"):
            check_picture_folder(tmp_path / "photos", overwrite=overwrite)


def test_a_new_or_empty_folder_needs_no_flag(tmp_path: Path) -> None:
    check_picture_folder(tmp_path / "new", overwrite=False)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".DS_Store").touch()
    check_picture_folder(tmp_path / "new", overwrite=False)


def test_the_flag_replaces_a_file_of_the_user(tmp_path: Path) -> None:
    file = picture(tmp_path / "a.png")
    check_replaceable(file, overwrite=True)
    with pytest.raises(UserError, match="--overwrite"):
        check_replaceable(file, overwrite=False)
    with pytest.raises(UserError, match="move it away"):
        check_replaceable(file)
    check_replaceable(tmp_path / "new.png")


def test_json_replaces_json_alone(tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    for content in ("", "[1]\n", ' {"a": 1}'):
        file.write_text(content)
        check_json(str(file))
    file.write_text("import os")
    with pytest.raises(UserError, match="holds something else"):
        check_json(str(file))
