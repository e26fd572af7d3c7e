"""Classifiers as safetensors files, whose header says how they were trained and tested.

The classifiers of `SHIPPED` are part of the package, so that numbers of their features are
comparable between machines.
"""

import dataclasses
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from d3gan.config import DataConfig
from d3gan.data.cache import ImageSet
from d3gan.errors import UserError
from d3gan.evaluation.features.classifier import SIDE, Classifier, Recipe
from d3gan.evaluation.real_statistics import pixel_digest
from d3gan.files import write_bytes, writing

SHIPPED = {
    ("mnist", 1): "fbef8bb458d26a7e8f8ae03b9e24e64c63d919feeb8ec3899b0997790954b3c7",
    ("cifar10", 3): "a01eab16fffc86fc9a04da62e695e2e8c523e04d9b5eef34c88b6a76dffa2843",
}
"""SHA-256 of the files in the folder ``classifiers``, by data source and number of channels."""

LEAST_SIDE = 28
"""Shipped classifiers are for images of at least this side: 24 px cost 0.5 % of accuracy on MNIST
and 14 % on CIFAR-10."""

HEADER = "d3gan classifier 1"
"""The header's only key (safetensors writes several in any order), whose value is JSON."""


class TrainedClassifier(NamedTuple):
    """A classifier on the CPU in float32, and what the protocol says about it."""

    network: Classifier
    test_accuracy: float
    """Share of the test images that it classifies correctly."""
    sha256: str
    """SHA-256 of the file, or of the weights of a classifier that has none."""
    command: str | None = None
    """Command that trained the file's classifier."""


def is_shipped(data: DataConfig) -> bool:
    """Return whether the classifier of the labels of `data`, in its shape, is shipped."""
    return (data.source, data.channels) in SHIPPED and data.resolution >= LEAST_SIDE


def read_shipped(source: str, channels: int) -> TrainedClassifier:
    """Return the classifier of the package. Raises UserError if its file is damaged."""
    file = shipped_file(source)
    found = _parsed(file.read_bytes(), str(file))
    if found.sha256 != SHIPPED[source, channels]:
        raise UserError(
            f"{file} is damaged: its SHA-256 is {found.sha256[:16]}...; reinstall d3gan"
        )
    return found


def shipped_file(source: str) -> Any:
    """Return the file of a shipped classifier, as a resource of the package."""
    return resources.files("d3gan.evaluation.features") / "classifiers" / f"{source}.safetensors"


def read_file(file: Path, channels: int) -> TrainedClassifier:
    """Return the classifier in a file. Raises UserError unless it takes images of `channels`."""
    try:
        found = _parsed(file.read_bytes(), str(file))
    except OSError as error:
        raise UserError(f"cannot read the classifier {file}: {error.strerror}") from error
    if found.network.channels != channels:
        raise UserError(
            f"{file} classifies images of {found.network.channels} channels, not of {channels}"
        )
    return found


def _parsed(content: bytes, name: str) -> TrainedClassifier:
    """Return the classifier in the content of a file. Raises UserError."""
    try:
        tensors = load_tensors(content)
        length = int.from_bytes(content[:8], "little")
        header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][HEADER])
        network = Classifier(
            header["channels"],
            header["recipe"]["width"],
            header["classes"],
            least_side=min(header["side"], SIDE),
        )
        # The counters of batch norm are not stored; evaluation does not use them.
        weights = {key: tensor.float() for key, tensor in tensors.items()}
        network.load_state_dict(
            {k: v for k, v in network.state_dict().items() if k.endswith("num_batches_tracked")}
            | weights
        )
        network = network.eval().requires_grad_(False)
        digest = hashlib.sha256(content).hexdigest()
        return TrainedClassifier(network, header["test_accuracy"], digest, header["command"])
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise UserError(
            f"{name} is not a classifier that 'd3gan data classifier' wrote "
            f"({type(error).__name__}: {str(error).splitlines()[0]})"
        ) from error


def half_precision(network: Classifier) -> None:
    """Round the weights of convolutions and of the head as the file stores them, in place."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.copy_(parameter.half().float())


def write_file(
    file: Path,
    network: Classifier,
    recipe: Recipe,
    train: ImageSet,
    *,
    tested: tuple[float, int],
    command: str,
) -> None:
    """Write a classifier of which `half_precision` has rounded the weights.

    `train` are the images that it was trained on, `tested` its accuracy and the number of images
    that it was tested on, and `command` trains it again. Raises UserError.
    """
    tensors = {
        name: (tensor.half() if tensor.dim() > 1 else tensor).contiguous()
        for name, tensor in network.cpu().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    header = {
        "source": train.name,
        "channels": network.channels,
        "side": train.images.shape[-1],
        "classes": network.classes,
        "train_images": len(train.images),
        "train_sha256": pixel_digest(train.images),
        "test_accuracy": tested[0],
        "test_images": tested[1],
        "recipe": dataclasses.asdict(recipe),
        "command": command,
    }
    content = save_tensors(tensors, {HEADER: json.dumps(header)})
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, content)
