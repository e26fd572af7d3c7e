"""Data sources in a file outside the package."""

import itertools
import sys
from pathlib import Path

import pytest

from d3gan.config import DataConfig
from d3gan.data.cache import ImageSet, load_images
from d3gan.errors import UserError

PLUGIN = '''
import numpy as np
from dataclasses import dataclass

def arrays(value=7):
    images = np.full((6, 20, 24, 3), value, np.uint8)
    return images, np.arange(6) % 3

@dataclass
class Pairs:
    """Grey squares of several sizes, and their classes."""

    count: int = 5
    class_names = ("small", "large")

    def __call__(self, split):
        for k in range(self.count):
            value = 10 * k + (100 if split == "test" else 0)
            yield np.full((16 + k, 16 + k), value, np.uint8), k % 2

def floats():
    return np.zeros((2, 8, 8)), np.zeros(2, int)

def few_labels():
    return np.zeros((2, 8, 8), np.uint8), np.zeros(3, int)

def nothing():
    return 5

class Broken:
    def __call__(self, split):
        raise RuntimeError("no such split")
'''

_numbers = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module in the working directory, with a new name for every test."""
    name = f"own_data_{next(_numbers)}"
    (tmp_path / f"{name}.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def loaded(source: str, split: str = "train") -> ImageSet:
    return load_images(DataConfig(source, split, resolution=16, channels=1))


def test_a_function_returns_arrays(module: str) -> None:
    images = loaded(f"{module}:arrays")
    assert images.images.shape == (6, 1, 16, 16)
    assert (images.images == 7).all()
    assert images.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert (images.classes, images.class_names) == (3, [])
    other = loaded(f"{module}:arrays(value=9)")
    assert (other.images == 9).all()
    assert other.digest != images.digest


def test_an_object_yields_images_of_a_split(module: str) -> None:
    images = loaded(f"{module}:Pairs(count=4)", "test")
    assert images.images[:, 0, 3, 3].tolist() == [100, 110, 120, 130]
    assert (images.classes, images.class_names) == (2, ["small", "large"])
    assert loaded(f"{module}:Pairs(count=4)").images[0].max() == 0


def test_the_cache_is_keyed_by_content(module: str, tmp_path: Path) -> None:
    first = loaded(f"{module}:arrays")
    (tmp_path / "renamed.py").write_text(PLUGIN)
    again = loaded("renamed:arrays(value=7)")
    assert again.digest == first.digest
    assert Path(again.images.filename) == Path(first.images.filename)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("source", "split", "message"),
    [
        ("{}:floats", "train", r"images must be uint8 \[H, W\] or \[H, W, C\]"),
        ("{}:few_labels", "train", "returned 2 images and labels .3. of int64"),
        ("{}:nothing", "train", "returned int; it must return .images, labels. or an iterable"),
        ("{}:Broken", "valid", "Broken: RuntimeError: no such split"),
        ("{}:arrays", "test", "has no split 'test'; splits: train"),
        ("{}:Missing", "train", "has no class 'Missing'"),
        ("no_such_module:Data", "train", "there is no module 'no_such_module'"),
    ],
)
def test_mistakes_of_a_plugin_are_one_line(
    module: str, source: str, split: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        loaded(source.format(module), split)
    assert "\n" not in str(caught.value)
