import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.program import finish, start_process, symbolic_links

from d3gan.config import DataConfig
from d3gan.data import cache_entry, decode
from d3gan.data.cache import ImageSet, load_images
from d3gan.data.labels import MOST_CLASSES, check_number_of_classes, require_classes
from d3gan.errors import UserError
from d3gan.images import Images
from d3gan.rng import Stream, permutation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for value in range(6):
        Image.new("L", (16, 16), value).save(tmp_path / "images" / f"{value}.png")
    return tmp_path / "images"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("D3GAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def values(source: Path, **options: int) -> list[int]:
    images = load_images(DataConfig(str(source), resolution=16, channels=1, **options))  # type: ignore[arg-type]
    return [int(image.mean()) for image in images.images]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first pixels of the images that are decoded, in any order."""
    found: list[int] = []
    original = decode.to_array

    def recorded(picture: Image.Image, resolution: int, channels: int) -> Images:
        array = original(picture, resolution, channels)
        found.append(int(array[0, 0, 0]))
        return array

    monkeypatch.setattr(decode, "to_array", recorded)
    return found


def test_decoding_happens_once(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert values(folder) == list(range(6))
    monkeypatch.setattr(cache_entry, "decode_all", None)  # a second decoding would fail
    assert values(folder) == list(range(6))


def test_the_cache_follows_the_content_not_the_name(folder: Path, cache: Path) -> None:
    values(folder)
    entries = set((cache / "images").glob("*/images.npy"))
    moved = folder.rename(folder.with_name("moved"))
    values(moved)
    assert set((cache / "images").glob("*/images.npy")) == entries
    Image.new("L", (16, 16), 99).save(moved / "3.png")
    assert values(moved) == [0, 1, 2, 99, 4, 5]


def test_folders_of_classes_give_labels_to_the_same_images(folder: Path, cache: Path) -> None:
    assert (
        load_images(DataConfig(str(folder), resolution=16, channels=1)).labels.tolist() == [-1] * 6
    )
    for file in sorted(folder.iterdir()):
        name = folder / ("even" if int(file.stem) < 3 else "odd")
        name.mkdir(exist_ok=True)
        file.rename(name / file.name)
    labels = load_images(DataConfig(str(folder), resolution=16, channels=1)).labels
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]


def labels_only(labels: list[int], tmp_path: Path) -> ImageSet:
    file = tmp_path / "labelled.npz"
    np.savez(file, images=np.zeros((len(labels), 8, 8), np.uint8), labels=np.array(labels))
    return load_images(DataConfig(str(file), resolution=16, channels=1))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([-1, -1], "x = 1: .*labelled.npz has no labels; put the images into one folder per class"),
        ([0, 1, -1], "has labels for only 2 of 3 images; put the images into one folder per class"),
        ([5, 7, 5], "has 2 different labels from 5 to 7; number the classes from 0 to 1"),
    ],
)
def test_missing_or_unusable_labels_give_one_line(
    labels: list[int], message: str, tmp_path: Path
) -> None:
    images = labels_only(labels, tmp_path)
    assert images.classes == 0
    with pytest.raises(UserError, match=message):
        require_classes(images.labels, images.classes, images.name, "x = 1")


def test_labels_from_zero_count_the_classes(tmp_path: Path) -> None:
    images = labels_only([2, 0, 1, 2], tmp_path)
    assert images.labels.tolist() == [2, 0, 1, 2]
    assert images.class_names == []
    assert images.classes == 3
    require_classes(images.labels, images.classes, images.name, "x = 1")


def test_more_classes_than_allowed_give_one_line() -> None:
    labels = np.arange(MOST_CLASSES + 1)
    with pytest.raises(UserError, match=r"x = 1: it has 100,001 classes; at most 100,000 are all"):
        require_classes(labels, len(labels), "it", "x = 1")
    check_number_of_classes(labels[:-1], "it")
    with pytest.raises(UserError, match=r"up to 100000; number the classes from 0 to at most 99,9"):
        check_number_of_classes(labels, "it")


def test_broken_images_stop_or_are_skipped_and_counted(folder: Path, cache: Path) -> None:
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:40])
    (folder / "4.png").write_text("not an image")
    for _ in range(2):  # decoded now, and from the cache
        with pytest.raises(UserError, match=r"broken image .*2\.png.*2 of 6.*--data\.skip-broken"):
            values(folder)
        assert values(folder, skip_broken=True) == [0, 1, 3, 5]
    skipped = load_images(
        DataConfig(str(folder), resolution=16, channels=1, skip_broken=True)
    ).skipped
    assert len(skipped) == 2


def test_a_source_without_readable_images_is_reported(folder: Path, cache: Path) -> None:
    for file in folder.iterdir():
        file.write_text("no")
    with pytest.raises(UserError, match="no image could be read"):
        values(folder, skip_broken=True)


def test_limit_is_a_fixed_random_subset(folder: Path, cache: Path) -> None:
    chosen = [
        load_images(DataConfig(str(folder), resolution=16, channels=1, limit=limit))
        .images[:, 0, 0, 0]
        .tolist()
        for limit in (3, 3, 6, 100)
    ]
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) == 3
    assert chosen[2] == chosen[3] == list(range(6))


@pytest.mark.parametrize("whole_first", [False, True])
@pytest.mark.parametrize("kind", ["folder", "array", "parquet"])
def test_a_subset_is_that_of_all_images_and_no_others_are_decoded(
    kind: str, whole_first: bool, tmp_path: Path, cache: Path, decoded: list[int]
) -> None:
    number, limit = 40, 7
    pixels = np.arange(number, dtype=np.uint8)[:, None, None].repeat(20, 1).repeat(20, 2)
    source = tmp_path / f"{kind}.npz"
    if kind == "array":
        np.savez(source, images=pixels, labels=np.arange(number) % 5)
    else:
        source = tmp_path / kind
        source.mkdir()
        encoded = []
        for label in range(5):
            (source / str(label)).mkdir()
        for i, image in enumerate(pixels):
            file = source / str(i // 8) / f"{i:02d}.png"
            Image.fromarray(image).save(file)
            encoded.append(file.read_bytes())
        if kind == "parquet":
            table = {"image": encoded, "label": [i // 8 for i in range(number)]}
            pq.write_table(pa.table(table), source / "train-00000-of-00001.parquet")
    config = DataConfig(str(source), resolution=16, channels=1)
    if whole_first:
        load_images(config)
        assert sorted(decoded) == list(range(number))
        decoded.clear()
    subset = load_images(dataclasses.replace(config, limit=limit))
    order = permutation(0, Stream.SUBSET, 0, number)
    expected = order[:limit].sort().values.tolist()
    assert sorted(decoded) == ([] if whole_first else expected)
    again = load_images(dataclasses.replace(config, limit=limit))
    whole = load_images(config)
    for found in (subset, again):
        assert found.images[:, 0, 0, 0].tolist() == expected
        assert np.array_equal(found.images, whole.images[expected])
        assert isinstance(found.images, np.memmap)  # shared between processes
        assert found.labels.tolist() == whole.labels[expected].tolist()
        assert found._replace(images=[], labels=[]) == whole._replace(images=[], labels=[])  # type: ignore[arg-type]


def test_a_subset_keeps_the_classes_of_the_source(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in sorted(folder.iterdir()):
        (folder / f"class {file.stem}").mkdir()
        file.rename(folder / f"class {file.stem}" / file.name)
    config = DataConfig(str(folder), resolution=16, channels=1, limit=2)
    before = load_images(config)
    assert (before.classes, len(before.class_names), len(before.labels)) == (6, 6, 2)
    load_images(dataclasses.replace(config, limit=0))
    monkeypatch.setenv("D3GAN_CACHE", str(cache.with_name("other")))
    load_images(dataclasses.replace(config, limit=0))
    after = load_images(config)  # copied from the whole
    assert (after.classes, after.class_names) == (6, before.class_names)
    assert after.labels.tolist() == before.labels.tolist()


@pytest.mark.parametrize("whole_first", [False, True])
def test_broken_images_of_a_subset_are_replaced_by_the_next_ones(
    folder: Path, cache: Path, whole_first: bool
) -> None:
    order = permutation(0, Stream.SUBSET, 0, 6).tolist()
    for position in (order[1], order[3]):  # one is chosen, the other its replacement
        (folder / f"{position}.png").write_text("not an image")
    if whole_first:
        assert len(values(folder, skip_broken=True)) == 4
    assert values(folder, skip_broken=True, limit=3) == sorted([order[0], order[2], order[4]])
    assert values(folder, skip_broken=True, limit=5) == sorted(set(order) - {order[1], order[3]})
    assert values(folder, limit=1) == [order[0]]
    with pytest.raises(UserError, match=rf"broken image .*{order[1]}\.png.*1 of 3 images are"):
        values(folder, limit=2)


@pytest.mark.parametrize("whole_first", [False, True])
def test_whether_images_of_a_subset_were_resized(
    folder: Path, cache: Path, whole_first: bool
) -> None:
    first, second, *_ = permutation(0, Stream.SUBSET, 0, 6).tolist()
    Image.new("L", (20, 16), second).save(folder / f"{second}.png")
    config = DataConfig(str(folder), resolution=16, channels=1)
    if whole_first:
        assert load_images(config).resized is True
    assert values(folder, limit=1) == [first]
    assert load_images(dataclasses.replace(config, limit=1)).resized is False
    assert load_images(dataclasses.replace(config, limit=2)).resized is True
    assert load_images(config).resized is True


def test_concurrent_processes_decode_once(folder: Path, cache: Path) -> None:
    code = (
        "from d3gan.config import DataConfig; from d3gan.data.cache import load_images; import sys;"
        "print(load_images(DataConfig(sys.argv[1], resolution=16, channels=1)).images.sum())"
    )
    children = [
        start_process([sys.executable, "-c", code, folder], D3GAN_CACHE=str(cache))
        for _ in range(3)
    ]
    outputs = {finish(child, timeout=120).stdout.strip() for child in children}
    assert outputs == {str(256 * 15)}
    assert len(list(cache.glob("images/*/images.npy"))) == 1


def test_whether_images_were_resized_is_known(folder: Path, cache: Path) -> None:
    """They are of 16 x 16."""
    for resolution in (16, 32):
        config = DataConfig(str(folder), resolution=resolution, channels=1)
        for _ in range(2):
            assert load_images(config).resized is (resolution != 16)


def test_lost_colour_is_noted(folder: Path, cache: Path) -> None:
    Image.new("RGB", (16, 16), "red").save(folder / "3.png")
    for _ in range(2):  # decoded now, and from the cache
        (line,) = load_images(DataConfig(str(folder), resolution=16, channels=1)).notes
        assert "the colour of 1 of 6 images is dropped, because data.channels = 1" in line
    assert load_images(DataConfig(str(folder), resolution=16, channels=3)).notes == ()


def test_a_conditional_model_is_refused_before_images_without_labels_are_decoded(
    folder: Path, cache: Path, decoded: list[int]
) -> None:
    with pytest.raises(UserError, match=r"x = 1: .* each subfolder is a class, .*cats.0\.png"):
        load_images(DataConfig(str(folder), resolution=16, channels=1), classes_for="x = 1")
    with pytest.raises(UserError, match=r"y needs labels: .* each subfolder is a class, "):
        load_images(DataConfig(str(folder), resolution=16, channels=1), labels_for="y needs labels")
    assert decoded == []


@pytest.mark.parametrize("kind", [pytest.param("missing", marks=symbolic_links), "forbidden"])
def test_an_image_that_cannot_be_read_is_a_broken_one(
    kind: str, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not mistaken for a full cache."""
    wrong = folder / "2.png"
    if kind == "missing":
        wrong.unlink()
        wrong.symlink_to(folder / "gone.png")
        why = "it is a link to a missing file"
    else:  # as for a user; root may read everything
        opened = Path.open

        def forbidding(file: Path, *arguments: Any, **options: Any) -> Any:
            if file == wrong:
                raise PermissionError(13, "Permission denied", str(file))
            return opened(file, *arguments, **options)

        monkeypatch.setattr(Path, "open", forbidding)
        why = "Permission denied"
    for _ in range(2):
        with pytest.raises(UserError, match=rf"broken image .*2\.png: {why} \(1 of 6 images"):
            values(folder)
        assert values(folder, skip_broken=True) == [0, 1, 3, 4, 5]
    if kind == "forbidden":
        monkeypatch.setattr(Path, "open", opened)  # permission is given
        assert values(folder) == list(range(6))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_a_named_pipe_is_left_out(folder: Path, cache: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    images = load_images(DataConfig(str(folder), resolution=16, channels=1))
    assert len(images.images) == 6
    (line,) = images.notes
    assert "1 file is left out because only regular files are read" in line
    assert str(folder / "pipe.png") in line
