import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.program import finish, start_process

from d3gan.config import DataConfig
from d3gan.data import cache as store
from d3gan.data.cache import ImageSet, load_images, require_classes
from d3gan.errors import UserError


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


def values(source: Path, **options: bool) -> list[int]:
    images = load_images(DataConfig(str(source), resolution=16, channels=1, **options))
    return [int(image.mean()) for image in images.images]


def test_decoding_happens_once(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert values(folder) == list(range(6))
    monkeypatch.setattr(store, "decode_all", None)  # a second decoding would fail
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
        require_classes(images, "x = 1")


def test_labels_from_zero_count_the_classes(tmp_path: Path) -> None:
    images = labels_only([2, 0, 1, 2], tmp_path)
    assert images.labels.tolist() == [2, 0, 1, 2]
    assert images.class_names == []
    assert require_classes(images, "x = 1") == images.classes == 3


def test_a_damaged_cache_entry_is_decoded_again(folder: Path, cache: Path) -> None:
    values(folder)
    for file in cache.glob("images/*/images.npy"):
        file.write_bytes(file.read_bytes()[:200])
    assert values(folder) == list(range(6))


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


def test_a_full_disk_is_reported_and_leaves_no_files(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(UserError, match=r"No space left on device.*set D3GAN_CACHE"):
        values(folder)
    assert list((cache / "images").glob("*/")) == []
    monkeypatch.undo()
    monkeypatch.setenv("D3GAN_CACHE", str(cache))
    assert values(folder) == list(range(6))


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
    """They are of 16 x 16. Older versions did not store it."""
    for resolution in (16, 32):
        config = DataConfig(str(folder), resolution=resolution, channels=1)
        for _ in range(2):
            assert load_images(config).resized is (resolution != 16)
    for file in cache.glob("images/*/resized.json"):
        file.unlink()
    assert load_images(config).resized is None
