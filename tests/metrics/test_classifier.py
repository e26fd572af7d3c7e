import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from d3gan.config import DataConfig
from d3gan.data.store import load_images
from d3gan.errors import UserError
from d3gan.metrics import classifier as module
from d3gan.metrics.classifier import (
    RECIPES,
    Classifier,
    PerChannel,
    Recipe,
    accuracy,
    load_classifier,
    shifted,
    train_classifier,
)

CPU = torch.device("cpu")
QUICK = Recipe(width=8, epochs=5.0, least_images=0)


def shaped(source: Path | str) -> DataConfig:
    return DataConfig(str(source), resolution=16, channels=3)


def test_it_learns_and_is_a_function_of_data_and_recipe(labelled: Path) -> None:
    data = load_images(shaped(labelled))
    images, labels = torch.from_numpy(data.images.copy()), torch.from_numpy(data.labels)
    torch.manual_seed(1)
    one = train_classifier(images, labels, QUICK, CPU)
    torch.manual_seed(2)
    other = train_classifier(images, labels, QUICK, CPU)
    assert accuracy(one, images, labels) > 0.95
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_trained_once_and_tested_on_a_held_out_fifth(
    labelled: Path, tmp_path: Path, quick_classifier: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, share = load_classifier(shaped(labelled), tmp_path, CPU)
    assert share > 0.9
    monkeypatch.setattr(module, "_trained", None)  # not called again
    again, same = load_classifier(dataclasses.replace(shaped(labelled), limit=10), tmp_path, CPU)
    assert same == share
    assert torch.equal(again.head.weight, network.head.weight)  # type: ignore[union-attr]
    train, test = module._labelled(shaped(labelled))
    assert (len(train.images), len(test.images)) == (160, 40)
    both = {image.tobytes() for image in (*train.images, *test.images)}
    assert len(both) == 200


def test_another_recipe_is_another_classifier(
    labelled: Path, tmp_path: Path, quick_classifier: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_classifier(shaped(labelled), tmp_path, CPU)
    for changed in (dataclasses.replace(QUICK, shift=1), dataclasses.replace(QUICK, version=2)):
        monkeypatch.setattr(module, "RECIPES", {3: changed})
        load_classifier(shaped(labelled), tmp_path, CPU)
    assert len(list(tmp_path.glob("*.pt"))) == 3


def test_a_damaged_file_in_the_cache_is_made_anew(
    labelled: Path, tmp_path: Path, quick_classifier: None
) -> None:
    _, share = load_classifier(shaped(labelled), tmp_path, CPU)
    (file,) = tmp_path.glob("*.pt")
    file.write_bytes(file.read_bytes()[:1000])
    assert load_classifier(shaped(labelled), tmp_path, CPU)[1] == share


def test_images_without_labels(tmp_path: Path) -> None:
    file = tmp_path / "plain.npy"
    np.save(file, np.zeros((50, 16, 16), np.uint8))
    with pytest.raises(UserError, match=r"has no labels of two classes or more.*inception"):
        load_classifier(shaped(file), tmp_path, CPU)
    few = tmp_path / "few.npz"
    np.savez(few, images=np.zeros((9, 16, 16), np.uint8), labels=np.arange(9) % 2)
    with pytest.raises(UserError, match="too few images"):
        load_classifier(shaped(few), tmp_path, CPU)


def test_a_cache_without_room(labelled: Path, tmp_path: Path, quick_classifier: None) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="set D3GAN_CACHE to a folder with room"):
        load_classifier(shaped(labelled), tmp_path / "file", CPU)


def test_shifting_by_the_definition() -> None:
    """The slow twin: every pixel from its place, or from the nearest edge."""
    images = torch.randint(0, 256, (40, 3, 5, 7), generator=torch.Generator().manual_seed(0))
    got = shifted(images, torch.arange(40), 2)
    offsets = set()

    def clamped(position: int, last: int) -> int:
        return min(max(position, 0), last)

    for image, moved in zip(images, got, strict=True):
        fits = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if all(
                torch.equal(
                    moved[:, y, x], image[:, min(max(y + dy, 0), 4), min(max(x + dx, 0), 6)]
                )
                for y in range(5)
                for x in range(7)
            )
        ]
        assert len(fits) == 1
        offsets |= set(fits)
    assert len(offsets) > 15
    again = shifted(images[7:9], torch.arange(7, 9), 2)
    assert torch.equal(again, got[7:9])


def test_stacked_digits_take_a_classifier_per_channel() -> None:
    digits = Classifier(1, 4, 10).eval()
    images = torch.randint(0, 256, (6, 3, 16, 16), generator=torch.Generator().manual_seed(1))
    features, logits = PerChannel(digits)(images)
    assert features.shape == (6, 384)
    each = [digits(images[:, k : k + 1]) for k in range(3)]
    r, g, b = (logits_of.argmax(1) for _, logits_of in each)
    assert logits.argmax(1).tolist() == (100 * r + 10 * g + b).tolist()
    torch.testing.assert_close(features[:, 128:256], each[1][0])
    product = (
        each[0][1].softmax(1)[0, 3] * each[1][1].softmax(1)[0, 1] * each[2][1].softmax(1)[0, 4]
    )
    torch.testing.assert_close(logits.softmax(1)[0, 314], product)


def test_larger_images_are_averaged_down() -> None:
    network = Classifier(3, 4, 10).eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(2))
    blown_up = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(network(blown_up)[1], network(images)[1])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("source", "channels", "least"),
    [("digits", 1, 0.975), ("mnist", 1, 0.992), ("cifar10", 3, 0.75)],
)
def test_accuracy_on_real_images(
    source: str, channels: int, least: float, request: pytest.FixtureRequest
) -> None:
    """Test images as the data sets have them; of digits a fifth."""
    if source != "digits":
        request.getfixturevalue("data_folder")
    assert RECIPES[channels].least_images >= 60_000
    folder = Path(os.environ["D3GAN_CACHE"]) / "classifiers"
    data = DataConfig(source, resolution=32, channels=1 if channels == 1 else 3)
    assert load_classifier(data, folder, CPU)[1] >= least
