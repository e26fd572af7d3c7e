"""What is wrong with images, named in one line before long work."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.cases import Case, check

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
        "no such folder or file: photoz (did you mean 'photos'?)",
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
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_a_named_pipe_is_no_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    case = Case("pipe", prepares("pipe.npy"), "is neither a folder nor a regular file", timeout=60)
    check(case, tmp_path)
