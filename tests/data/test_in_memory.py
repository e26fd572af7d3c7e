"""Images given from Python: what is accepted, what is refused, and that they are found again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from d3gan.config import Config, DataConfig
from d3gan.config_files import starting_point
from d3gan.data.cache import load_images
from d3gan.data.in_memory import store_images
from d3gan.data.locations import cache_folder
from d3gan.errors import UserError
from d3gan.training import trainer

RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, (6, 8, 8, 3), np.uint8)
GREY = RNG.integers(0, 256, (6, 8, 8), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


class Pictures:
    """A data set as torchvision has them."""

    classes = ("cat", "dog", "owl")

    def __init__(self, images: list[Any], labels: list[Any] | None = None) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        image = self.images[index]
        return image if self.labels is None else (image, self.labels[index])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("D3GAN_CACHE", str(tmp_path / "cache"))


def loaded(data: Any, channels: int = 3) -> Any:
    source = store_images(data)
    return load_images(DataConfig(source=source, resolution=8, channels=channels))  # type: ignore[arg-type]


def floats(images: np.ndarray) -> torch.Tensor:
    """As torchvision's ToTensor."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2)).float() / 255


@pytest.mark.parametrize(
    "data",
    [
        COLOUR,
        COLOUR.transpose(0, 3, 1, 2),
        torch.from_numpy(COLOUR.transpose(0, 3, 1, 2)),
        floats(COLOUR),
        floats(COLOUR).double().numpy(),
        list(COLOUR),
        [Image.fromarray(image) for image in COLOUR],
        TensorDataset(floats(COLOUR)),
        [{"image": Image.fromarray(image)} for image in COLOUR],
    ],
    ids=lambda data: type(data).__name__,
)
def test_all_forms_give_the_same_images(data: Any) -> None:
    images = loaded(data)
    assert np.array_equal(images.images, COLOUR.transpose(0, 3, 1, 2))
    assert set(images.labels) == {-1}
    assert store_images(data) == store_images(COLOUR)


@pytest.mark.parametrize(
    "data",
    [
        (COLOUR, LABELS),
        (floats(COLOUR), torch.from_numpy(LABELS)),
        (COLOUR, LABELS.tolist()),
        TensorDataset(floats(COLOUR), torch.from_numpy(LABELS)),
        [(Image.fromarray(image), label) for image, label in zip(COLOUR, LABELS, strict=True)],
        [{"image": i, "label": k} for i, k in zip(COLOUR, LABELS, strict=True)],
    ],
    ids=lambda data: type(data).__name__,
)
def test_labels(data: Any) -> None:
    images = loaded(data)
    assert images.labels.tolist() == LABELS.tolist()
    assert images.classes == 3
    assert images.class_names == []
    assert store_images(data) != store_images(COLOUR)


def test_names_of_classes_and_images_of_any_size() -> None:
    pictures = [Image.effect_noise((8 + k, 9), 50) for k in range(4)]
    images = loaded(Pictures(pictures, [0, 1, 1, 0]), channels=1)
    assert images.images.shape == (4, 1, 8, 8)
    assert images.class_names == ["cat", "dog", "owl"]
    assert images.classes == 3
    assert images.resized


def test_grey_images_and_other_modes_of_pillow() -> None:
    assert np.array_equal(loaded(GREY, channels=1).images[:, 0], GREY)
    palette = Image.fromarray(COLOUR[0]).quantize(16)
    black_and_white = Image.fromarray(GREY[0]).convert("1")
    assert loaded([palette, black_and_white]).images.shape == (2, 3, 8, 8)


class Endless(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (floats(COLOUR) * 2 - 1, r"data\[0\] has floating-point pixels from -.* x / 2 \+ 0\.5"),
        (floats(COLOUR) * 255, r"floating-point pixels .*; give uint8, or floats in \[0, 1\]"),
        (floats(COLOUR) * np.nan, "floating-point pixels from nan to nan"),
        (COLOUR.astype(np.int64), r"data\[0\] has pixels of int64"),
        (COLOUR[0], r"data is an array \[8, 8, 3\]; many images are"),
        (COLOUR[..., :2], r"data\[0\] has the shape \[8, 8, 2\]; images are"),
        (np.zeros((2, 3, 9, 3), np.uint8), "both could be the channels"),
        ((COLOUR, LABELS[:4]), "data has 6 images and 4 labels"),
        ((COLOUR, LABELS + 0.5), r"data\[0\] has the label"),
        ([(COLOUR[0], "cat")], r"data\[0\] has the label 'cat'; labels are whole numbers"),
        ([(COLOUR[0], 1, 2)], r"data\[0\] has 3 parts"),
        ([{"pixels": COLOUR[0]}], r"data\[0\] has the keys pixels, but no 'image'"),
        (["a.png"], r"data\[0\] is a str; it must be a Pillow image"),
        ([Image.new("I", (8, 8))], r"data\[0\] is a Pillow image of mode I; scale it"),
        ([], "data holds no images"),
        (
            DataLoader(TensorDataset(floats(COLOUR))),
            "data is of type DataLoader; it must be a Dataset",
        ),
        (Endless(), "data is of type Endless; it must be a Dataset with a length"),
        (7, "data is of type int; it must be a Dataset"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_refused(data: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        store_images(data)
    assert list((cache_folder() / "in-memory").glob("*")) == []


def test_what_a_killed_process_left_is_deleted() -> None:
    stale = cache_folder() / "in-memory" / "123.tmp"
    stale.mkdir(parents=True)
    (stale / "pixels.bin").write_bytes(b"half")
    store_images(COLOUR)
    assert not stale.exists()


@pytest.mark.parametrize("name", ["shapes.npy", "labels.npy", "facts.json", "pixels.bin"])
def test_a_part_that_is_cut_short_is_noticed(name: str) -> None:
    source = store_images(COLOUR)
    file = cache_folder() / "in-memory" / source.removeprefix("in-memory:") / name
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match="no longer in the cache"):
        load_images(DataConfig(source=source, resolution=8))
    assert store_images(COLOUR) == source
    assert len(load_images(DataConfig(source=source, resolution=8)).images) == 6


def test_a_run_resumes_from_the_name_alone(tiny: Config, tmp_path: Path) -> None:
    source = store_images((np.repeat(COLOUR, 8, axis=0), np.repeat(LABELS, 8)))
    data = DataConfig(source=source, resolution=16)
    config = replace(tiny, data=data, train=replace(tiny.train, epochs=1.0))
    run = trainer.train(config)
    resumed, _ = starting_point(str(run.path))
    assert resumed.data.source == source
    trainer.train(replace(resumed, train=replace(resumed.train, epochs=2.0)), resume=True)
    assert run.metrics()[-1]["epoch"] == 2


def test_a_name_without_images_says_what_to_do() -> None:
    source = store_images(COLOUR)
    folder = cache_folder() / "in-memory" / source.removeprefix("in-memory:")
    (folder / "facts.json").unlink()
    with pytest.raises(UserError, match=r"no longer in the cache .*give them again: d3gan"):
        load_images(DataConfig(source=source, resolution=8))
    assert store_images(COLOUR) == source
    load_images(DataConfig(source=source, resolution=8))
    for bad in ("in-memory:../x", "in-memory:"):
        with pytest.raises(UserError, match="no longer in the cache"):
            load_images(DataConfig(source=bad, resolution=8))
    with pytest.raises(UserError, match="has no split 'test'"):
        load_images(DataConfig(source=source, split="test", resolution=8))


def test_damaged_images_are_not_used() -> None:
    source = store_images(COLOUR)
    pixels = cache_folder() / "in-memory" / source.removeprefix("in-memory:") / "pixels.bin"
    content = bytearray(pixels.read_bytes())
    content[7] ^= 1
    pixels.write_bytes(content)
    with pytest.raises(UserError, match="the stored images are damaged"):
        load_images(DataConfig(source=source, resolution=8))
    assert store_images(COLOUR) == source
    assert len(load_images(DataConfig(source=source, resolution=8)).images) == 6
