"""Classifiers for features: shipped with the package, or trained once and cached.

The key of the cache is the data and the recipe; a classifier comes with its test accuracy.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor

from d3gan.config import DataConfig
from d3gan.data.cache import ImageSet, load_images
from d3gan.data.labels import check_number_of_classes
from d3gan.data.sources import SOURCES
from d3gan.errors import UserError
from d3gan.evaluation.features.classifier import (
    RECIPES,
    SOURCE_RECIPES,
    Classifier,
    PerChannel,
    Recipe,
    accuracy,
    train_classifier,
)
from d3gan.evaluation.features.classifier_files import (
    TrainedClassifier,
    half_precision,
    is_shipped,
    read_file,
    read_shipped,
    write_file,
)
from d3gan.evaluation.features.extractor import Features, weights_digest
from d3gan.files import check_space, writing
from d3gan.messages import warn
from d3gan.rng import Stream, permutation
from d3gan.tensor_files import keeping, read_cached, write_tensors


def load(
    source: str, data: DataConfig, *, weights: str, folder: Path, device: torch.device
) -> Features:
    """Return the features of a classifier of the labels of `source`, or of `data` if it is ""."""
    if source:
        data = dataclasses.replace(data, source=source, skip_broken=False)
    name, stacked = f"classifier:{data.source}", data.source == "stacked-mnist"
    if stacked:
        data = dataclasses.replace(data, source="mnist", channels=1)
    found = find_classifier(data, weights, folder / "classifiers", device)
    warn_if_guessing(found, data.source)
    network = PerChannel(found.network).eval() if stacked else found.network
    return Features(
        name,
        network,
        network.dimensions,
        network.classes,
        weights_sha256=found.sha256,
        resize=found.network.resize(data.resolution),
        batch_size=128,
        test_accuracy=found.test_accuracy,
        training_command=found.command,
    )


def warn_if_guessing(found: TrainedClassifier, source: str) -> None:
    """Warn if a classifier knows its classes hardly better than by guessing.

    The limit is twice the accuracy of a guess, but no more than half-way from a guess to all
    correct, which matters with two classes: 75 % of 2, 67 % of 3, 20 % of 10 classes. Below it most
    of what the network computes is no property of the classes.
    """
    guess = 1 / found.network.classes
    if found.test_accuracy < min(2 * guess, (1 + guess) / 2):
        warn(
            f"the classifier of {source} is right for {found.test_accuracy:.1%} of its test images "
            f"only, and guessing among {found.network.classes} classes for {guess:.1%}, so its "
            "features say little about the images; use more labelled images, or other features "
            "(--eval.features inception; in d3gan evaluate, --features inception)"
        )


def find_classifier(
    data: DataConfig, weights: str, folder: Path, device: torch.device
) -> TrainedClassifier:
    """Return the classifier in the file `weights`; if it is "", that of the labels of `data`.

    The latter is shipped with the package, or read from `folder`, or trained now on `device`.
    Raises UserError.
    """
    if weights:
        return read_file(Path(weights).expanduser(), data.channels)
    if is_shipped(data):
        return read_shipped(data.source, data.channels)
    return load_classifier(data, folder, device)


def load_classifier(data: DataConfig, folder: Path, device: torch.device) -> TrainedClassifier:
    """Return the classifier of the labels of `data.source`.

    It takes images of the shape of `data`, and is read from `folder` or trained now on `device`.
    It is tested on the split "test" of a source that has one, and on a held-out fifth of any other.
    Of several processes at once, one trains. Raises UserError if the source has no labels.
    """
    train, test = _labelled(dataclasses.replace(data, split="train", limit=0))
    recipe = _recipe(data)
    key = {
        "recipe": dataclasses.asdict(recipe),
        "images": [
            (part.digest, len(part.images), part.images.shape[1:]) for part in (train, test)
        ],
    }
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    file = folder / f"{name}.pt"
    with keeping(f"the classifier of {data.source}", folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            saved = read_cached(file, {"weights", "classes", "accuracy"})
            if saved is None:
                check_space(folder, _size(train, recipe))  # before minutes of training
                saved = _trained(train, test, recipe, device)
                write_tensors(file, saved)
    network = Classifier(data.channels, recipe.width, saved["classes"])
    network.load_state_dict(saved["weights"])
    network = network.eval().requires_grad_(False)
    return TrainedClassifier(network, saved["accuracy"], weights_digest(network))


def train_file(
    data: DataConfig, file: Path, device: torch.device, *, command: str
) -> TrainedClassifier:
    """Train a classifier of the labels of `data.source` and write it to `file`; return it as read.

    Its images have the shape of `data`, and `command` is what the file's header says trained it.
    Raises UserError.
    """
    train, test = _labelled(dataclasses.replace(data, split="train", limit=0))
    recipe = _recipe(data)
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        check_space(file.parent, _size(train, recipe))
    network = train_classifier(*_tensors(train), recipe, device, f"classifier of {train.name}")
    half_precision(network)
    tested = accuracy(network, *_tensors(test)), len(test.images)
    write_file(file, network, recipe, train, tested=tested, command=command)
    return read_file(file, data.channels)


def _size(train: ImageSet, recipe: Recipe) -> int:
    """Return the size of the file of a classifier in bytes, and a little more."""
    with torch.device("meta"):
        network = Classifier(train.images.shape[1], recipe.width, int(train.labels.max()) + 1)
    weights: int = sum(x.numel() * x.element_size() for x in network.state_dict().values())
    return weights + weights // 10 + 2**16


def _recipe(data: DataConfig) -> Recipe:
    return SOURCE_RECIPES.get((data.source, data.channels)) or RECIPES[data.channels]


def _tensors(part: ImageSet) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(part.images.copy()), torch.from_numpy(part.labels)


def _trained(
    train: ImageSet, test: ImageSet, recipe: Recipe, device: torch.device
) -> dict[str, Any]:
    network = train_classifier(*_tensors(train), recipe, device, f"classifier of {train.name}")
    weights = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    share = accuracy(network, *_tensors(test))
    return {"weights": weights, "classes": network.classes, "accuracy": share}


def _labelled(data: DataConfig) -> tuple[ImageSet, ImageSet]:
    """Return images for training and images for testing. Raises UserError without labels."""
    source, everything = data.source, load_images(data)
    classes = set(everything.labels.tolist())
    if min(classes) < 0 or len(classes) < 2:
        why = everything.unlabelled or f"{source} does not have labels of two classes or more"
        raise UserError(
            f"classifier features need labels: {why}; or choose inception, or classifier:SOURCE of "
            "a labelled source (classifier:cifar10)"
        )
    check_number_of_classes(everything.labels, source)
    if source in SOURCES and "test" in SOURCES[source].splits:
        return everything, load_images(dataclasses.replace(data, split="test"))
    order = permutation(0, Stream.HELD_OUT, 0, len(everything.images)).numpy()
    fifth = len(order) // 5
    if fifth < len(classes):
        raise UserError(
            f"{source} has too few images ({len(order)}) to train and test a classifier of "
            f"{len(classes)} classes; choose inception, or classifier:SOURCE of a larger source"
        )
    parts = (order[fifth:], order[:fifth])
    train, test = (
        everything._replace(images=everything.images[part], labels=everything.labels[part])
        for part in parts
    )
    return train, test
