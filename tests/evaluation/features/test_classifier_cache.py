import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from d3gan import files
from d3gan.config import DataConfig
from d3gan.errors import UserError
from d3gan.evaluation.features import classifier_cache as module
from d3gan.evaluation.features.classifier import RECIPES, Classifier, Recipe
from d3gan.evaluation.features.classifier_cache import load_classifier
from d3gan.evaluation.features.classifier_files import TrainedClassifier
from d3gan.evaluation.features.extractor import weights_digest

CPU = torch.device("cpu")
QUICK = Recipe(width=8, epochs=5.0, least_images=0)


def shaped(source: Path | str) -> DataConfig:
    return DataConfig(str(source), resolution=16, channels=3)


def test_trained_once_and_tested_on_a_held_out_fifth(
    labelled: Path, tmp_path: Path, quick_classifier: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = load_classifier(shaped(labelled), tmp_path, CPU)
    assert trained.test_accuracy > 0.9
    assert trained.sha256 == weights_digest(trained.network)
    monkeypatch.setattr(module, "_trained", None)  # a second call would fail
    again = load_classifier(dataclasses.replace(shaped(labelled), limit=10), tmp_path, CPU)
    assert again[1:] == trained[1:]
    assert torch.equal(again.network.head.weight, trained.network.head.weight)
    train, test = module._labelled(shaped(labelled))
    assert (len(train.images), len(test.images)) == (160, 40)
    both = {image.tobytes() for image in (*train.images, *test.images)}
    assert len(both) == 200


def test_a_different_recipe_gives_a_different_classifier(
    labelled: Path, tmp_path: Path, quick_classifier: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_classifier(shaped(labelled), tmp_path, CPU)
    for changed in (dataclasses.replace(QUICK, shift=1), dataclasses.replace(QUICK, version=2)):
        monkeypatch.setattr(module, "RECIPES", {3: changed})
        load_classifier(shaped(labelled), tmp_path, CPU)
    assert len(list(tmp_path.glob("*.pt"))) == 3


def test_a_damaged_file_in_the_cache_is_replaced(
    labelled: Path, tmp_path: Path, quick_classifier: None
) -> None:
    trained = load_classifier(shaped(labelled), tmp_path, CPU)
    (file,) = tmp_path.glob("*.pt")
    file.write_bytes(file.read_bytes()[:1000])
    assert load_classifier(shaped(labelled), tmp_path, CPU)[1:] == trained[1:]


@pytest.mark.parametrize(
    ("classes", "accuracy", "warned"),
    [(2, 0.7, True), (2, 0.8, False), (3, 0.0833, True), (10, 0.19, True), (10, 0.21, False)],
)
def test_a_classifier_that_guesses_is_warned_of(
    classes: int, accuracy: float, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    found = TrainedClassifier(Classifier(1, 4, classes), accuracy, "")
    module.warn_if_guessing(found, "photos")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == warned
    if warned:
        assert f"right for {accuracy:.1%} of its test images only" in lines[0]


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "plain.npy"
    np.save(file, np.zeros((50, 16, 16), np.uint8))
    with pytest.raises(UserError, match=r"plain.npy has no labels; .*inception"):
        load_classifier(shaped(file), tmp_path, CPU)
    few = tmp_path / "few.npz"
    np.savez(few, images=np.zeros((9, 16, 16), np.uint8), labels=np.arange(9) % 2)
    with pytest.raises(UserError, match="too few images"):
        load_classifier(shaped(few), tmp_path, CPU)


def test_an_unusable_cache_folder_is_reported(
    labelled: Path, tmp_path: Path, quick_classifier: None
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="set the environment variable D3GAN_CACHE"):
        load_classifier(shaped(labelled), tmp_path / "file", CPU)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("source", "channels", "least"),
    [("digits", 1, 0.975), ("mnist", 1, 0.992), ("cifar10", 3, 0.83)],
)
def test_accuracy_on_real_images(
    source: str, channels: int, least: float, request: pytest.FixtureRequest
) -> None:
    """On the test split of a data set; on a fifth of the digits."""
    if source != "digits":
        request.getfixturevalue("data_folder")
    assert RECIPES[channels].least_images >= 60_000
    folder = Path(os.environ["D3GAN_CACHE"]) / "classifiers"
    data = DataConfig(source, resolution=32, channels=1 if channels == 1 else 3)
    assert load_classifier(data, folder, CPU).test_accuracy >= least


def test_a_full_cache_is_found_before_the_training(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_allocate", full)
    monkeypatch.setattr(module, "train_classifier", None)  # a training would fail
    message = r"cannot cache the classifier of .*: No space left on device \(.* are needed, "
    with pytest.raises(UserError, match=message):
        load_classifier(shaped(labelled), tmp_path, CPU)
    with pytest.raises(UserError, match=r"cannot write to .*No space left on device"):
        module.train_file(shaped(labelled), tmp_path / "own.safetensors", CPU, command="")


def test_the_reserved_space_is_that_of_the_file(
    labelled: Path, tmp_path: Path, quick_classifier: None
) -> None:
    load_classifier(shaped(labelled), tmp_path, CPU)
    (file,) = tmp_path.glob("*.pt")
    train, _ = module._labelled(shaped(labelled))
    reserved = module._size(train, module.RECIPES[3])
    assert file.stat().st_size <= reserved < 2 * file.stat().st_size + 2**17


def test_labels_that_number_no_classes_are_refused(tmp_path: Path) -> None:
    labels = np.array([0, 2**40] * 20)
    np.savez(tmp_path / "x.npz", images=np.zeros((40, 16, 16), np.uint8), labels=labels)
    with pytest.raises(UserError, match="number the classes from 0 to at most 99,999"):
        load_classifier(shaped(tmp_path / "x.npz"), tmp_path, CPU)
