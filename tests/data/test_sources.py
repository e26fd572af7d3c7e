"""Finding sources and reading them, in the layouts that the hub really has."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.program import run_code

from d3gan.config import DataConfig
from d3gan.data import stacked_mnist
from d3gan.data.cache import load_images
from d3gan.data.hub_sources import HUB_SOURCES
from d3gan.data.sources import SOURCES, find_source, is_path
from d3gan.errors import UserError
from d3gan.rng import Stream, permutation

LAYOUTS = {
    "mnist": ("mnist/{split}-00000-of-00001.parquet", "image", ("label",), ("train", "test")),
    "fashion-mnist": (
        "fashion_mnist/{split}-00000-of-00001.parquet", "image", ("label",), ("train", "test"),
    ),
    "cifar10": ("plain_text/{split}-00000-of-00001.parquet", "img", ("label",), ("train", "test")),
    "cifar100": (
        "cifar100/{split}-00000-of-00001.parquet", "img", ("fine_label", "coarse_label"),
        ("train", "test"),
    ),
    "svhn": (
        "cropped_digits/{split}-00000-of-00001.parquet", "image", ("label",),
        ("train", "test", "extra"),
    ),
    "stl10": ("data/{split}-00000-of-00001.parquet", "image", ("label",), ("train", "test")),
}  # fmt: skip


def encoded(value: int, size: int = 32) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (value, value, value)).save(stream, "PNG")
    return stream.getvalue()


def write_parquet(file: Path, values: list[int], image: str, labels: tuple[str, ...]) -> None:
    """Write rows whose image has one grey value, which is also the (first) label."""
    columns: dict[str, Any] = {image: [{"bytes": encoded(v), "path": f"{v}.png"} for v in values]}
    for number, label in enumerate(labels):
        columns[label] = pa.array([v if number == 0 else 99 for v in values], pa.int64())
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file)


def test_every_hub_source_has_its_layout_here() -> None:
    assert set(LAYOUTS) == {source.name for source in HUB_SOURCES}


@pytest.mark.parametrize("name", LAYOUTS)
def test_names_are_read_from_the_data_folder_in_the_hub_s_layout(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D3GAN_DATA", str(tmp_path))
    pattern, image, labels, splits = LAYOUTS[name]
    for number, split in enumerate(splits):
        file = tmp_path / name / pattern.format(split=split)
        write_parquet(file, [10 * number + 1, 10 * number + 2], image, labels)
    if name == "svhn":  # the hub's folder also holds the uncropped pictures
        write_parquet(
            tmp_path / name / "full_numbers/train-00000-of-00001.parquet", [200], "image", ()
        )
    for number, split in enumerate(splits):
        images = load_images(DataConfig(name, split, resolution=32, channels=3))
        assert images.images[:, 0, 0, 0].tolist() == [10 * number + 1, 10 * number + 2]
        assert images.labels.tolist() == [10 * number + 1, 10 * number + 2]


def test_shards_are_read_in_order(tmp_path: Path) -> None:
    for shard in (1, 0, 2):
        values = [10 * shard, 10 * shard + 1]
        write_parquet(
            tmp_path / f"data/train-0000{shard}-of-00003.parquet", values, "image", ("label",)
        )
    images = load_images(DataConfig(str(tmp_path), resolution=16, channels=1))
    assert images.labels.tolist() == [0, 1, 10, 11, 20, 21]
    assert images.images[:, 0, 3, 3].tolist() == [0, 1, 10, 11, 20, 21]


def test_the_hub_s_converted_layout_and_plain_bytes_are_read(tmp_path: Path) -> None:
    file = tmp_path / "default" / "train" / "0000.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(pa.table({"caption": ["a"], "picture": [encoded(5)]}), file)
    images = load_images(DataConfig(str(tmp_path), resolution=16, channels=1))
    assert (images.images == 5).all()
    assert images.labels.tolist() == [-1]


def test_class_names_come_from_the_hub_s_metadata(tmp_path: Path) -> None:
    features = {
        "picture": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": ["a", "b"]},
    }
    schema = pa.schema(
        [("picture", pa.binary()), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    table = pa.table({"picture": [encoded(5)], "label": [0]}, schema=schema)
    pq.write_table(table, tmp_path / "train-00000-of-00001.parquet")
    images = load_images(DataConfig(str(tmp_path), resolution=16, channels=1))
    assert (images.classes, images.class_names) == (2, ["a", "b"])


def test_a_folder_with_several_data_sets_is_refused(tmp_path: Path) -> None:
    for name in ("small", "large"):
        write_parquet(tmp_path / name / "train-00000-of-00001.parquet", [1], "image", ())
    with pytest.raises(UserError, match=r"several data sets .* large, small"):
        find_source(str(tmp_path), "train")
    assert find_source(str(tmp_path / "small"), "train").number == 1


def test_mnist_of_the_data_folder(data_folder: Path) -> None:
    images = load_images(DataConfig("mnist", resolution=32, channels=1))
    assert images.images.shape == (60_000, 1, 32, 32)
    assert np.bincount(images.labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert (
        load_images(DataConfig("mnist", "test", resolution=32, channels=1)).images.shape[0]
        == 10_000
    )


def test_stacked_mnist_needs_colour(data_folder: Path) -> None:
    with pytest.raises(UserError, match=r"data\.channels = 1: stacked-mnist needs 3 channels"):
        load_images(DataConfig("stacked-mnist", channels=1))


@pytest.mark.slow
def test_cifar10_of_the_data_folder(data_folder: Path) -> None:
    images = load_images(DataConfig("cifar10", resolution=32, channels=3))
    assert images.images.shape == (50_000, 3, 32, 32)
    assert np.bincount(images.labels).tolist() == [5000] * 10
    means = images.images.mean(axis=(0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-5)


def test_stacked_mnist_has_a_thousand_modes(data_folder: Path) -> None:
    stacked = load_images(DataConfig("stacked-mnist", "test", resolution=32, channels=3))
    digits = load_images(DataConfig("mnist", "test", resolution=32, channels=1))
    assert stacked.images.shape == (10_000, 3, 32, 32)
    assert len(np.unique(stacked.labels)) == 1000
    assert stacked.classes == 1000
    assert stacked.class_names[123] == "123"
    orders = [permutation(0, Stream.STACK, k, 10_000).numpy() for k in range(3)]
    # Each channel holds every digit once, and the label names it.
    for channel, place in enumerate((100, 10, 1)):
        shown = stacked.labels // place % 10
        order = orders[(100, 10, 1).index(place)]
        assert np.array_equal(shown, digits.labels[order])
        assert np.array_equal(stacked.images[:, channel], digits.images[order, 0])
        assert np.array_equal(np.bincount(shown), np.bincount(digits.labels))
        ink = stacked.images[:, channel].mean(axis=(1, 2))
        expected = digits.images[:, 0].mean(axis=(1, 2))
        for digit in range(10):
            assert ink[shown == digit].mean() == pytest.approx(
                expected[digits.labels == digit].mean()
            )


def test_a_subset_of_stacked_mnist_decodes_only_its_digits(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DataConfig("stacked-mnist", "test", resolution=32, channels=3)
    whole = load_images(config)
    monkeypatch.setenv("D3GAN_CACHE", str(tmp_path))
    opened: list[object] = []
    original = stacked_mnist.open_image
    monkeypatch.setattr(
        stacked_mnist, "open_image", lambda data: (opened.append(data), original(data))[1]
    )
    subset = load_images(dataclasses.replace(config, limit=20))
    chosen = permutation(0, Stream.SUBSET, 0, 10_000)[:20].sort().values.numpy()
    assert np.array_equal(subset.images, whole.images[chosen])
    assert subset.labels.tolist() == whole.labels[chosen].tolist()
    assert subset.classes == 1000
    assert 20 < len(opened) <= 60


def test_digits_need_no_network() -> None:
    images = load_images(DataConfig("digits", resolution=32, channels=1))
    assert images.images.shape == (5000, 1, 32, 32)
    assert np.bincount(images.labels).tolist() == [500] * 10
    assert (images.classes, images.class_names) == (10, list("0123456789"))
    assert images.images.max() > 250


def test_an_image_folder_with_many_formats(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "dogs" / "more").mkdir(parents=True)
    (tmp_path / ".thumbs").mkdir()
    Image.new("RGB", (50, 30), "red").save(tmp_path / "cats" / "a.jpg")
    Image.new("P", (10, 70)).save(tmp_path / "cats" / "B.PNG")
    Image.fromarray(np.full((20, 20), 65535, np.uint16)).save(tmp_path / "dogs" / "c.png")
    Image.new("RGBA", (300, 300)).save(tmp_path / "dogs" / "more" / "d.webp")
    Image.new("L", (5, 5)).save(tmp_path / ".thumbs" / "hidden.png")
    (tmp_path / "readme.txt").write_text("not an image, and not taken for one")
    images = load_images(DataConfig(str(tmp_path), resolution=16, channels=3))
    assert (images.classes, images.class_names) == (2, ["cats", "dogs"])
    assert images.labels.tolist() == [0, 0, 1, 1]  # cats/B.PNG, cats/a.jpg, dogs/c, dogs/more/d
    assert images.images[2].min() == 255


def grey(file: Path, value: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (16, 16), value).save(file)


def shades(source: Path, split: str = "train") -> list[int]:
    images = load_images(DataConfig(str(source), split, resolution=16, channels=1)).images
    return [int(image[0, 0, 0]) for image in images]


def test_a_folder_of_splits_and_nothing_else_is_divided(tmp_path: Path) -> None:
    grey(tmp_path / "train" / "cats" / "a.png", 1)
    grey(tmp_path / "train" / "dogs" / "b.png", 2)
    grey(tmp_path / "test" / "cats" / "c.png", 3)
    (tmp_path / ".hidden").mkdir()
    assert (shades(tmp_path), shades(tmp_path, "test")) == ([1, 2], [3])
    images = load_images(DataConfig(str(tmp_path), resolution=16, channels=1))
    assert images.class_names == ["cats", "dogs"]
    with pytest.raises(UserError, match="has no split 'val'; splits: test, train"):
        shades(tmp_path, "val")
    grey(tmp_path / "other" / "d.png", 4)  # now these are classes
    assert shades(tmp_path) == [4, 3, 1, 2]
    with pytest.raises(UserError, match="has no split 'test'; splits: train"):
        shades(tmp_path, "test")


def test_arrays_have_one_split(noise_images: Path) -> None:
    with pytest.raises(UserError, match="has no split 'test'; splits: train"):
        find_source(str(noise_images), "test")


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    grey(tmp_path / "elsewhere" / "a.png", 1)
    grey(tmp_path / "photos" / "dogs" / "b.png", 2)
    (tmp_path / "photos" / "cats").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "dogs" / "up").symlink_to(tmp_path / "photos")
    (tmp_path / "elsewhere" / "itself").symlink_to(tmp_path / "elsewhere")
    assert shades(tmp_path / "photos") == [1, 2]


def test_formats_that_cannot_be_read_are_left_out_and_known_ones_are_named(tmp_path: Path) -> None:
    grey(tmp_path / "a.png", 1)
    for name in ("b.h5", "c.mpg", "d.txt", "e.HEIC", "f.eps"):
        (tmp_path / name).write_bytes(b"")
    source = find_source(str(tmp_path), "train")
    assert source.number == 1
    (line,) = source.notes
    assert "2 files are left out because Pillow does not read this format; the first" in line


def test_postscript_is_not_interpreted_whatever_its_name_is(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(UserError, match=r"broken image .*a\.png: not an image"):
        shades(tmp_path)


@pytest.mark.parametrize("shape", [(9, 20, 20), (9, 20, 20, 3), (9, 3, 20, 20), (9, 20, 20, 1)])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_of_every_layout(shape: tuple[int, ...], suffix: str, tmp_path: Path) -> None:
    images = np.zeros(shape, np.uint8) + np.arange(9, dtype=np.uint8).reshape(
        -1, *[1] * (len(shape) - 1)
    )
    file = tmp_path / f"images{suffix}"
    if suffix == ".npy":
        np.save(file, images)
    else:
        np.savez(file, y=np.arange(9) + 5, x=images)
    loaded = load_images(DataConfig(str(file), resolution=16, channels=3))
    assert loaded.images[:, 1, 2, 3].tolist() == list(range(9))
    assert loaded.labels.tolist() == (list(range(5, 14)) if suffix == ".npz" else [-1] * 9)


def test_mistakes_are_one_line_that_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D3GAN_DATA", str(tmp_path / "data"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 nonsense")
    np.save(tmp_path / "flat.npy", np.zeros((5, 0, 8, 3), np.uint8))
    np.save(tmp_path / "floats.npy", np.zeros((3, 8, 8)))
    np.save(tmp_path / "five.npy", np.zeros((3, 8, 8, 5), np.uint8))
    write_parquet(tmp_path / "data/cifar10/plain_text/train-00000-of-00001.parquet", [1], "jpg", ())
    cut = tmp_path / "data/svhn/cropped_digits/train-00000-of-00001.parquet"
    write_parquet(cut, [1, 2], "image", ("label",))
    cut.write_bytes(cut.read_bytes()[:-10])
    cases = {
        ("cifar-10", "train"): "no data source 'cifar-10' (did you mean 'cifar10'?)",
        (str(tmp_path / "empty"), "train"): "holds no images",
        (str(tmp_path / "notes.txt"), "train"): "neither a folder nor a .npy or .npz file",
        (str(tmp_path / "no.npz"), "train"): "no such folder or file",
        (str(tmp_path / "bad.npz"), "train"): "cannot read",
        (str(tmp_path / "flat.npy"), "train"): "holds no images uint8 [M, H, W]",
        (str(tmp_path / "floats.npy"), "train"): "holds no images uint8 [M, H, W]",
        (str(tmp_path / "five.npy"), "train"): "neither 1 nor 3 channels",
        (
            "/no/such/folder",
            "train",
        ): "no such folder or file: /no/such/folder; there is no folder /no",
        ("cifar10", "train"): "has no column 'img'; columns: jpg",
        ("cifar10", "valid"): "cifar10 has no split 'valid'; splits: train, test",
        ("digits", "test"): "digits has no split 'test'; splits: train",
        ("svhn", "train"): "download it again",
    }
    for (source, split), message in cases.items():
        with pytest.raises(UserError) as caught:
            find_source(source, split)
        assert message in str(caught.value), source
        assert "\n" not in str(caught.value)
    assert len(SOURCES) == 8


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("./photos", True), ("../photos", True), ("/photos", True), ("~/photos", True),
        ("photos/", True), ("a/b/c", True), ("a\\b", True), ("D:/photos", True),
        ("images.npz", True), ("a/images.NPY", True), ("photos.zip", True), ("cats/1.jpg", True),
        ("pictures/cats", True), ("pictures/cats:all", True),
        ("owner/name", False), ("owner/name:config", False), ("owner/name-v1.0", False),
        ("name", False), ("kept/name", False),
    ],
)  # fmt: skip
def test_what_is_written_as_a_path(
    source: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that exists makes `pictures/cats` a path, unless $D3GAN_DATA holds that name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("D3GAN_DATA", str(tmp_path / "data"))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "kept").mkdir()
    (tmp_path / "data/kept/name").mkdir(parents=True)
    assert is_path(source) is expected


@pytest.mark.parametrize(
    ("images", "expression"),
    [
        (np.float32([0, 0.5, 1]), [0, 128, 255]),
        (np.float64([-1, 0, 1]), [0, 128, 255]),
        (np.float64([0, 3, 255]), [0, 3, 255]),
        (np.int64([0, 3, 255]), [0, 3, 255]),
        (np.uint16([0, 32768, 65535]), [0, 127, 255]),
    ],
)
def test_the_proposed_conversion_of_arrays_is_right(
    images: np.ndarray, expression: list[int], tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", images[:, None, None].repeat(8, 1).repeat(8, 2))
    with pytest.raises(UserError, match=r"convert them with np\.uint8\(.*\)") as caught:
        find_source(str(tmp_path / "x.npy"), "train")
    code = str(caught.value).partition("convert them with ")[2]
    assert eval(code, {"np": np, "images": images}).tolist() == expression


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_labels_beyond_64_bits_are_refused_and_missing_ones_are_unknown(
    kind: str, tmp_path: Path
) -> None:
    def source(labels: list[int | None]) -> str:
        if kind == "npz":
            numbers = np.array([0 if label is None else label for label in labels], np.uint64)
            np.savez(tmp_path / "x.npz", images=np.zeros((2, 8, 8), np.uint8), labels=numbers)
            return str(tmp_path / "x.npz")
        table = pa.table({"image": [encoded(5)] * 2, "label": pa.array(labels, pa.uint64())})
        pq.write_table(table, tmp_path / "train-00000-of-00001.parquet")
        return str(tmp_path)

    name = source([3, None])
    expected = [3, 0] if kind == "npz" else [3, -1]
    assert load_images(DataConfig(name, resolution=16)).labels.tolist() == expected
    with pytest.raises(UserError, match=r"2\^63 .* number the classes from 0 to at most 99,999"):
        load_images(DataConfig(source([3, 2**64 - 1]), resolution=16))


def test_looking_up_sources_does_not_import_torch_or_pyarrow() -> None:
    code = (
        "import sys, d3gan.data.sources; "
        "sys.exit(bool({'torch', 'pyarrow', 'huggingface_hub'} & set(sys.modules)))"
    )
    assert run_code(code).returncode == 0
