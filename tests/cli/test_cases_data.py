"""What is wrong with images, named in one line before long work."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.cases import Case, check
from tests.program import symbolic_links

from d3gan.cli.main import main
from d3gan.config import DataConfig
from d3gan.data.cache import load_images

OFFLINE = {"HF_ENDPOINT": "http://127.0.0.1:9", "D3GAN_DATA": ""}
"""A hub that would be asked in vain."""


def photos(folder: Path) -> None:
    """Twelve colour images without labels."""
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for number in range(12):
        pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{number:02d}.png")


def other_files(*names: str) -> Callable[[Path], object]:
    """Return a preparation that writes files that are no images into the folder ``photos``."""

    def prepare(folder: Path) -> None:
        (folder / "photos").mkdir()
        for name in names:
            (folder / "photos" / name).write_bytes(b"no image")

    return prepare


def array(name: str, images: np.ndarray) -> Callable[[Path], object]:
    return lambda folder: np.save(folder / name, images)


def labelled(labels: np.ndarray) -> Callable[[Path], object]:
    images = np.zeros((len(labels), 16, 16), np.uint8)
    return lambda folder: np.savez(folder / "labelled.npz", images=images, labels=labels)


def with_file(name: str, content: bytes) -> Callable[[Path], object]:
    """Return a preparation that adds a file to the photos."""

    def prepare(folder: Path) -> None:
        photos(folder)
        (folder / "photos" / name).write_bytes(content)

    return prepare


def with_link(folder: Path) -> None:
    photos(folder)
    (folder / "photos" / "link.png").symlink_to("gone.png")


def with_large_image(folder: Path) -> None:
    photos(folder)
    Image.new("1", (12_000, 12_000)).save(folder / "photos" / "large.png")


def with_another_size(folder: Path) -> None:
    photos(folder)
    Image.new("RGB", (20, 30)).save(folder / "photos" / "11.png")


def damaged(folder: Path) -> None:
    """Photos of which the cache holds one wrong bit."""
    photos(folder)
    images = load_images(DataConfig(str(folder / "photos"), resolution=16)).images
    assert isinstance(images, np.memmap)
    assert images.filename
    file = Path(images.filename)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def prepares(source: str, *flags: str) -> tuple[str, ...]:
    return ("data", "prepare", source, "--resolution", "16", *flags)


CASES = [
    Case(
        "a mistyped folder is found before the hub is asked",
        prepares("./photoz"),
        "no such folder or file: photoz (did you mean 'photos'?)",
        prepare=photos,
        absent=("download",),
        environment=OFFLINE,
    ),
    Case(
        "a mistyped folder below one that exists",
        prepares("photos/cats"),
        "no such folder or file: photos/cats",
        prepare=photos,
        absent=("download",),
        environment=OFFLINE,
    ),
    Case(
        "a mistyped folder in training",
        ("train", "demo-dcgan", "--data.source", "photoz/cats/small"),
        "photoz (did you mean 'photos'?)",
        prepare=photos,
        environment=OFFLINE,
    ),
    Case(
        "a mistyped word",
        prepares("photoz"),
        "there is no data source 'photoz' (did you mean 'photos'?)",
        prepare=photos,
    ),
    Case(
        "a hub data set is still asked for",
        prepares("owner/name"),
        "cannot download owner/name from the Hugging Face hub",
        environment=OFFLINE,
    ),
    Case(
        "an empty folder",
        prepares("photos"),
        "photos holds no images and no parquet files: it is empty",
        prepare=other_files(),
    ),
    Case(
        "a folder of text files",
        prepares("photos"),
        "(only 2 other files, such as a.txt); images are files such as a.png or b.jpg",
        prepare=other_files("a.txt", "b.csv"),
    ),
    Case(
        "a folder with an archive",
        prepares("photos"),
        f"unpack the archive: {Path('photos', 'all.zip')}",
        prepare=other_files("all.zip", "b.txt"),
    ),
    Case(
        "an archive",
        prepares("photos/all.zip"),
        "is an archive; unpack it, and name the folder of images",
        prepare=other_files("all.zip"),
    ),
    Case(
        "one image",
        prepares("photos/00.png"),
        "is one file of a data set; name its folder, photos",
        prepare=photos,
    ),
    Case(
        "an array of one image",
        prepares("one.npy"),
        "one.npy holds one image [32, 32, 3]; a data set is an array of many images, uint8 [M, H,",
        prepare=array("one.npy", np.zeros((32, 32, 3), np.uint8)),
    ),
    Case(
        "an array of numbers from 0 to 1",
        prepares("floats.npy"),
        "it holds images float64 [9, 16, 16, 3]; convert them with np.uint8(255 * images + 0.5)",
        prepare=array("floats.npy", np.linspace(0, 1, 9 * 768).reshape(9, 16, 16, 3)),
    ),
    Case(
        "a damaged image",
        prepares("photos"),
        f"broken image {Path('photos', 'x.png')}: not an image (1 of 13 images are broken); repair",
        prepare=with_file("x.png", b"damaged"),
    ),
    pytest.param(
        Case(
            "a link to a missing file",
            prepares("photos"),
            f"{Path('photos', 'link.png')}: it is a link to a missing file (1 of 13 images are ",
            prepare=with_link,
        ),
        marks=symbolic_links,
    ),
    pytest.param(
        Case(
            "a link to a missing file is skipped",
            prepares("photos", "--skip-broken"),
            "photos train: 12 images of 3 x 16 x 16, 0 classes",
            status=0,
            prepare=with_link,
        ),
        marks=symbolic_links,
    ),
    Case(
        "an image that is too large",
        prepares("photos"),
        "large.png: 12000 x 12000 pixels; at most 89,478,485 are allowed (1 of 13 images are bro",
        prepare=with_large_image,
        absent=("Warning", "bomb"),
    ),
    Case(
        "colour under a grey preset",
        prepares("photos", "--channels", "1"),
        "the colour of 12 of 12 images is dropped, because data.channels = 1; --data.channels 3",
        status=0,
        prepare=photos,
    ),
    Case(
        "labels of 2^64 - 1",
        prepares("labelled.npz"),
        "labelled.npz has labels of 2^63 and more; number the classes from 0 to at most 99,999",
        prepare=labelled(np.array([0, 2**64 - 1], np.uint64)),
    ),
    Case(
        "a damaged cache",
        prepares("photos"),
        "; they are decoded again",
        status=0,
        prepare=damaged,
    ),
    Case(
        "data.limit below the batch size",
        ("train", "demo-dcgan", "--data.limit", "5"),
        "train.batch_size = 32: data.limit = 5 leaves only 5 images of digits; choose a larger",
    ),
]


SLOW = [
    Case(
        "a flat folder for a conditional model",
        ("train", "demo-dcgan", "--model.conditional", "true", "--data.source", "photos"),
        "photos have no labels, because they are not in subfolders; each subfolder is a class,",
        prepare=photos,
    ),
    Case(
        "labels of 2^40 for the classifier",
        (
            *("train", "demo-dcgan", "--data.source", "labelled.npz", "--data.resolution", "16"),
            *("--train.batch-size", "2", "--eval.features", "classifier"),
        ),
        "labelled.npz has labels up to 1099511627776; number the classes from 0 to at most 99,999",
        prepare=labelled(np.array([0, 2**40] * 100)),
    ),
    Case(
        "images of different sizes in an evaluation",
        ("evaluate", "photos", "--against", "photos"),
        "the images of photos have different sizes, such as 16 x 16 and 20 x 30; choose the one",
        prepare=with_another_size,
    ),
]
"""They import torch, and other tests without a process of their own test the same."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW, ids=lambda case: case.name)
def test_slow_case(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_an_image_without_read_permission_is_a_broken_one(tmp_path: Path) -> None:
    photos(tmp_path)
    file = tmp_path / "photos" / "03.png"
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("root may read everything")
    line = "03.png: Permission denied (1 of 12 images are broken)"
    check(Case("forbidden", prepares("photos"), line), tmp_path)
    line = "photos train: 11 images of 3 x 16 x 16, 0 classes"
    check(Case("skipped", prepares("photos", "--skip-broken"), line, status=0), tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_a_named_pipe_is_no_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    case = Case("pipe", prepares("pipe.npy"), "is neither a folder nor a regular file", timeout=60)
    check(case, tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_a_named_pipe_among_images_is_left_out(tmp_path: Path) -> None:
    photos(tmp_path)
    os.mkfifo(tmp_path / "photos" / "pipe.png")
    line = "photos: 1 file is left out because only regular files are read; the first one is"
    check(Case("pipe", prepares("photos"), line, status=0, timeout=60), tmp_path)


def test_the_example_of_the_documentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(page.partition("```python\n")[2].partition("```")[0])
    assert main(["data", "prepare", "images.npz"]) == 0
    assert "images.npz train: 100 images of 3 x 32 x 32, 10 classes" in capsys.readouterr().out
