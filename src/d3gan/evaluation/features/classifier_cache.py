"""Classifiers for features: trained once, cached by data and recipe, with their test accuracy."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from d3gan.config import DataConfig
from d3gan.data.cache import ImageSet, load_images
from d3gan.data.sources import SOURCES
from d3gan.errors import UserError
from d3gan.evaluation.features.classifier import (
    RECIPES,
    SIDE,
    Classifier,
    PerChannel,
    Recipe,
    accuracy,
    train_classifier,
)
from d3gan.evaluation.features.extractor import Features, weights_digest
from d3gan.rng import Stream, permutation
from d3gan.tensor_files import keeping, read_cached, write_tensors


def load(
    source: str, data: DataConfig, *, weights: str, folder: Path, device: torch.device
) -> Features:
    """Return the features of a classifier of the labels of `source`, or of `data` if it is ""."""
    if source:
        data = dataclasses.replace(data, source=source, skip_broken=False)
    classifier, test_accuracy = load_classifier(data, folder / "classifiers", device)
    return Features(
        f"classifier:{data.source}",
        classifier,
        classifier.dimensions,
        classifier.classes,
        weights_sha256=weights_digest(classifier),
        resize="none" if data.resolution <= SIDE else f"area mean to {SIDE}",
        batch_size=128,
        test_accuracy=test_accuracy,
    )


def load_classifier(
    data: DataConfig, folder: Path, device: torch.device
) -> tuple[Classifier | PerChannel, float]:
    """Return the classifier of the labels of `data.source`, on the CPU, and its test accuracy.

    It takes images of the shape of `data`, and is read from `folder` or trained now on `device`.
    It is tested on the split "test" of a source that has one, and on a held-out fifth of any other.
    Of several processes at once, one trains. Raises UserError if the source has no labels.
    """
    if data.source == "stacked-mnist":
        of_digits = dataclasses.replace(data, source="mnist", channels=1)
        digits, test_accuracy = load_classifier(of_digits, folder, device)
        assert isinstance(digits, Classifier)
        return PerChannel(digits).eval(), test_accuracy
    train, test = _labelled(dataclasses.replace(data, split="train", limit=0))
    recipe = RECIPES[data.channels]
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
                saved = _trained(train, test, recipe, device)
                write_tensors(file, saved)
    network = Classifier(data.channels, recipe.width, saved["classes"])
    network.load_state_dict(saved["weights"])
    return network.eval().requires_grad_(False), saved["accuracy"]


def _trained(
    train: ImageSet, test: ImageSet, recipe: Recipe, device: torch.device
) -> dict[str, Any]:
    (images, labels), held_out = (
        (torch.from_numpy(part.images.copy()), torch.from_numpy(part.labels))
        for part in (train, test)
    )
    network = train_classifier(images, labels, recipe, device, f"classifier of {train.name}")
    weights = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    share = accuracy(network, *held_out)
    return {"weights": weights, "classes": network.classes, "accuracy": share}


def _labelled(data: DataConfig) -> tuple[ImageSet, ImageSet]:
    """Return images for training and images for testing. Raises UserError without labels."""
    source, everything = data.source, load_images(data)
    classes = set(everything.labels.tolist())
    if min(classes) < 0 or len(classes) < 2:
        raise UserError(
            f"{source} does not have labels of two classes or more, which classifier features "
            "need; choose inception, or classifier:SOURCE of a labelled source (classifier:cifar10)"
        )
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
