"""What images are measured by: a network, and all that its numbers depend on.

inception           the 2015 Inception-v3: 2048 features, the numbers named fid and is
classifier          a classifier of the data's own labels
classifier:SOURCE   a classifier of another source's labels
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from d3gan.config import DataConfig
from d3gan.evaluation.features import inception_weights
from d3gan.evaluation.features.classifier import SIDE
from d3gan.evaluation.features.classifier_cache import load_classifier
from d3gan.evaluation.statistics import Statistics


@dataclass(frozen=True)
class Features:
    """Images to features [B, D] and logits [B, K]."""

    name: str
    network: nn.Module
    """Takes uint8 [B, C, H, W]."""
    dimensions: int
    """D"""
    classes: int
    """K"""
    weights_sha256: str
    test_accuracy: float | None
    """Of a classifier."""
    resize: str
    """What happens to an image before the network."""
    batch_size: int
    """Images that go through the network at once."""

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """For at most `batch_size` uint8 images [B, C, H, W].

        A batch is filled up to its full size, because rounding depends on it: so an image's
        features depend on the image alone, to the last bit.
        """
        filling = images.new_zeros(self.batch_size - len(images), *images.shape[1:])
        features, logits = self.network(torch.cat([images, filling]).to(self.device))
        return features[: len(images)], logits[: len(images)]

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def empty_statistics(self, total: int, *, keep: bool = False) -> Statistics:
        """Of `total` images, none of them added yet; `keep` the features of each."""
        return Statistics.empty(total, self.dimensions, self.classes, self.device, keep=keep)

    def to(self, device: torch.device) -> "Features":
        """The same, on a device."""
        return dataclasses.replace(self, network=self.network.to(device))


def load_features(
    name: str, data: DataConfig, *, weights: str, folder: Path, device: torch.device
) -> Features:
    """The features that `name` says, for images of the shape of `data`; on the CPU.

    What is fetched or trained (on `device`) for them is kept in `folder`. `weights` is a local
    file of the Inception weights, or "". Raises UserError.
    """
    if name == "inception":
        inception = inception_weights.load_inception(weights, folder / "weights")
        return Features(
            name,
            inception,
            inception.dimensions,
            inception.classes,
            weights_sha256=inception_weights.SHA256,
            test_accuracy=None,
            resize="tf1 bilinear to 299",
            batch_size=32,
        )
    if source := name.partition(":")[2]:
        data = dataclasses.replace(data, source=source, skip_broken=False)
    classifier, share = load_classifier(data, folder / "classifiers", device)
    return Features(
        f"classifier:{data.source}",
        classifier,
        classifier.dimensions,
        classifier.classes,
        weights_sha256=_digest(classifier),
        test_accuracy=share,
        resize="none" if data.resolution <= SIDE else f"area mean to {SIDE}",
        batch_size=128,
    )


def _digest(network: nn.Module) -> str:
    """SHA-256 of all weights."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
