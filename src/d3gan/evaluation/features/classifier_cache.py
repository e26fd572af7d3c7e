"""Classifiers for features: trained once, kept by data and recipe, with their test accuracy."""

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
    Classifier,
    PerChannel,
    Recipe,
    accuracy,
    train_classifier,
)
from d3gan.rng import Stream, permutation
from d3gan.tensor_files import keeping, read_saved, write_saved


def load_classifier(
    data: DataConfig, folder: Path, device: torch.device
) -> tuple[Classifier | PerChannel, float]:
    """The classifier of the labels of `data.source`, for images of the shape that `data` says.

    TrainedGenerator now (on `device`) or taken from `folder`; on the CPU. Also its test accuracy.

    Tested on the split "test" of a source that has one, on a held-out fifth of any other.
    Raises UserError if the source has no labels. Several processes may ask at once: one trains.
    """
    if data.source == "stacked-mnist":
        of_digits = dataclasses.replace(data, source="mnist", channels=1)
        digits, share = load_classifier(of_digits, folder, device)
        assert isinstance(digits, Classifier)
        return PerChannel(digits).eval(), share
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
            saved = read_saved(file, {"weights", "classes", "accuracy"})
            if saved is None:
                saved = _trained(train, test, recipe, device)
                write_saved(file, saved)
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
    """Images to train on and images to test on. Raises UserError without labels."""
    source, whole = data.source, load_images(data)
    classes = set(whole.labels.tolist())
    if min(classes) < 0 or len(classes) < 2:
        raise UserError(
            f"{source} has no labels of two classes or more, which classifier features need; "
            "choose inception, or classifier:SOURCE of a source that has (classifier:cifar10)"
        )
    if source in SOURCES and "test" in SOURCES[source].splits:
        return whole, load_images(dataclasses.replace(data, split="test"))
    order = permutation(0, Stream.HELD_OUT, 0, len(whole.images)).numpy()
    fifth = len(order) // 5
    if fifth < len(classes):
        raise UserError(
            f"{source} has too few images ({len(order)}) to train and test a classifier of "
            f"{len(classes)} classes; choose inception, or classifier:SOURCE of a larger source"
        )
    parts = (order[fifth:], order[:fifth])
    train, test = (
        whole._replace(images=whole.images[part], labels=whole.labels[part]) for part in parts
    )
    return train, test
