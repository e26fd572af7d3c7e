"""Classifiers in files: those of the package, and those that the program writes."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
import torch
from tests.evaluation.measuring import evaluator

from d3gan.config import DataConfig
from d3gan.data.cache import load_images
from d3gan.data.hub_sources import HUB_SOURCES
from d3gan.errors import UserError
from d3gan.evaluation.features import classifier_cache, classifier_files
from d3gan.evaluation.features.classifier import PerChannel, accuracy
from d3gan.evaluation.features.classifier_files import (
    SHIPPED,
    is_shipped,
    read_file,
    read_shipped,
    shipped_file,
)
from d3gan.evaluation.features.extractor import Features, load_features

CPU = torch.device("cpu")


def classifier_of(data: DataConfig, folder: Path, name: str = "classifier") -> Features:
    return load_features(name, data, weights="", folder=folder, device=CPU)


@pytest.mark.parametrize(("source", "channels"), SHIPPED)
def test_the_package_holds_the_classifiers(source: str, channels: int) -> None:
    content = shipped_file(source).read_bytes()
    assert len(content) < 1_000_000
    assert hashlib.sha256(content).hexdigest() == SHIPPED[source, channels]
    found = read_shipped(source, channels)
    assert found.command == f"d3gan data classifier {source} -o {source}.safetensors"
    assert found.test_accuracy > {"mnist": 0.99, "cifar10": 0.84}[source]
    assert (found.network.channels, found.network.classes) == (channels, 10)
    assert {parameter.dtype for parameter in found.network.parameters()} == {torch.float32}
    assert not found.network.training
    (hub,) = (known for known in HUB_SOURCES if known.name == source)
    assert hub.channels == channels
    assert hub.revision != "main"


@pytest.mark.parametrize(("source", "channels"), SHIPPED)
@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_the_stated_accuracy_is_that_on_the_test_images(
    source: str, channels: int, count: int, data_folder: Path
) -> None:
    test = load_images(DataConfig(source, "test", resolution=32, channels=channels))
    images, labels = (torch.from_numpy(a[:count].copy()) for a in (test.images, test.labels))
    found = read_shipped(source, channels)
    several = 3 * (0.25 * (1 - found.test_accuracy) / count) ** 0.5 if count < 10_000 else 2e-4
    assert abs(accuracy(found.network, images, labels) - found.test_accuracy) <= several


def test_a_damaged_file_of_the_package_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(shipped_file("mnist").read_bytes())
    content[-1] ^= 1
    file = tmp_path / "mnist.safetensors"
    file.write_bytes(content)
    monkeypatch.setattr(classifier_files, "shipped_file", lambda source: file)
    with pytest.raises(UserError, match=r"mnist.safetensors is damaged: .*; reinstall d3gan"):
        read_shipped("mnist", 1)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_named_data_use_the_shipped_classifier_and_read_no_image(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D3GAN_DATA", str(tmp_path))  # where there is no data
    monkeypatch.setattr(classifier_cache, "load_images", None)
    channels = 1 if name == "mnist" else 3
    data = DataConfig(name, resolution=32, channels=channels, limit=500)
    features = classifier_of(data, tmp_path)
    assert features.name == f"classifier:{name}"
    assert features.weights_sha256 == SHIPPED[name, channels]
    assert features.test_accuracy == read_shipped(name, channels).test_accuracy
    assert features.training_command == read_shipped(name, channels).command
    assert features.resize == "none"
    other = DataConfig("some/folder", resolution=64, channels=channels)
    features = classifier_of(other, tmp_path, f"classifier:{name}")
    assert (features.weights_sha256, features.resize) == (
        SHIPPED[name, channels],
        "area mean to 32",
    )


def test_stacked_digits_use_the_shipped_classifier_per_channel(tmp_path: Path) -> None:
    features = classifier_of(DataConfig("stacked-mnist", resolution=32, channels=3), tmp_path)
    assert isinstance(features.network, PerChannel)
    assert (features.name, features.classes) == ("classifier:stacked-mnist", 1000)
    assert features.weights_sha256 == SHIPPED["mnist", 1]
    assert features.test_accuracy == read_shipped("mnist", 1).test_accuracy


def test_what_has_no_shipped_classifier() -> None:
    mnist = DataConfig("mnist", resolution=28, channels=1)
    assert is_shipped(mnist)
    for other in ({"channels": 3}, {"resolution": 16}, {"source": "fashion-mnist"}):
        assert not is_shipped(dataclasses.replace(mnist, **other))


def test_small_images_are_enlarged() -> None:
    found = read_shipped("cifar10", 3)
    images = torch.full((2, 3, 28, 28), 70, dtype=torch.uint8)
    same = torch.full((2, 3, 32, 32), 70, dtype=torch.uint8)
    torch.testing.assert_close(found.network(images), found.network(same))
    resized = [found.network.resize(side) for side in (28, 32, 64)]
    assert resized == ["bilinear to 32", "none", "area mean to 32"]


@pytest.fixture
def written(
    labelled: Path,
    tmp_path: Path,
    quick_classifier: None,
) -> Path:
    data = DataConfig(str(labelled), resolution=16, channels=3)
    file = tmp_path / "folder" / "own.safetensors"
    returned = classifier_cache.train_file(data, file, CPU, command="train it")
    again = read_file(file, 3)
    assert again[1:] == returned[1:]
    return file


def test_a_written_classifier_is_the_one_that_was_tested(written: Path, labelled: Path) -> None:
    found = read_file(written, 3)
    assert found.sha256 == hashlib.sha256(written.read_bytes()).hexdigest()
    assert found.command == "train it"
    data = DataConfig(str(labelled), resolution=16, channels=3)
    _, test = classifier_cache._labelled(data)
    images, labels = classifier_cache._tensors(test)
    assert accuracy(found.network, images, labels) == found.test_accuracy > 0.9
    assert found.network.resize(16) == "none"


def test_training_again_writes_the_same_bytes(written: Path, labelled: Path) -> None:
    data = DataConfig(str(labelled), resolution=16, channels=3)
    other = written.with_name("other.safetensors")
    classifier_cache.train_file(data, other, CPU, command="train it")
    assert other.read_bytes() == written.read_bytes()


def test_a_file_is_evaluated_with(written: Path, labelled: Path) -> None:
    protocol = evaluator(labelled, features="classifier", weights=str(written)).protocol()
    assert protocol.weights_sha256 == hashlib.sha256(written.read_bytes()).hexdigest()
    assert protocol.training_command == "train it"


def test_other_files_are_refused(written: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="classifies images of 3 channels, not of 1"):
        read_file(written, 1)
    with pytest.raises(UserError, match=r"cannot read the classifier .*No such file"):
        read_file(tmp_path / "missing.safetensors", 3)
    content = written.read_bytes()
    for wrong in (b"", b"no such format", content[:2000], content.replace(b"d3gan", b"other")):
        written.write_bytes(wrong)
        with pytest.raises(UserError, match="is not a classifier that 'd3gan data classifier'"):
            read_file(written, 3)
