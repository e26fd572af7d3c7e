"""Feature extractors: networks whose features the metrics compare.

inception           the 2015 Inception-v3: 2048 features, the numbers named fid and is
dinov2              DINOv2 ViT-L/14: 1024 features, for FD-DINOv2
classifier          a classifier trained on the data's own labels
classifier:SOURCE   a classifier trained on the labels of another source
module.path:Name    a plugin: an nn.Module, see `load_plugin`
"""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from d3gan.config import DataConfig
from d3gan.devices import CPU, float64_device
from d3gan.errors import UserError
from d3gan.evaluation.features.names import FEATURES, check_features, names_plugin
from d3gan.evaluation.statistics import Statistics
from d3gan.registry import build_plugin, plugin_file


@dataclass(frozen=True)
class Features:
    """Maps images to features [B, D] and logits [B, K]."""

    name: str
    network: nn.Module
    """Takes uint8 [B, C, H, W] and returns features [B, D] and logits [B, K], or None if K = 0."""
    dimensions: int
    """Number of features, D."""
    classes: int
    """Number of classes, K; 0 without logits."""
    weights_sha256: str
    resize: str
    """What happens to an image before the network."""
    batch_size: int
    """Number of images that pass through the network at once."""
    test_accuracy: float | None = None
    """Accuracy of a classifier on images that it was not trained on."""
    training_command: str | None = None
    """Command that trains the classifier again, where its file names one."""
    device: torch.device = CPU
    """Device of the network."""

    @property
    def sums_device(self) -> torch.device:
        """Device of the results, whose sums are computed in float64."""
        return float64_device(self.device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features and logits of at most `batch_size` uint8 images [B, C, H, W].

        A batch is always padded to its full size, because rounding depends on the size. So the
        features of an image depend on the image alone, bit for bit.
        """
        padding = images.new_zeros(self.batch_size - len(images), *images.shape[1:])
        features, logits = self.network(torch.cat([images, padding]).to(self.device))
        features = features[: len(images)].to(self.sums_device)
        return features, None if logits is None else logits[: len(images)].to(self.sums_device)

    def empty_statistics(self, total: int, *, keep: bool = False) -> Statistics:
        """Return statistics of `total` images before the first; `keep` stores all features."""
        return Statistics.empty(total, self.dimensions, self.classes, self.sums_device, keep=keep)

    def to(self, device: torch.device) -> "Features":
        """Return the same extractor on a device."""
        return dataclasses.replace(self, network=self.network.to(device), device=device)


def load_features(
    name: str, data: DataConfig, *, weights: str, folder: Path, device: torch.device
) -> Features:
    """Return the extractor `name` for images of the shape of `data`, on the CPU.

    Downloads and trained classifiers are kept in `folder`; a classifier is trained on `device`.
    `weights` is a local file or folder of the extractor's weights, or "". Raises UserError.
    """
    check_features(name)
    if names_plugin(name):
        return load_plugin(name, data)
    family, _, argument = name.partition(":")
    module, _, function = FEATURES[family].load.partition(":")
    load: Callable[..., Features] = getattr(import_module(module), function)
    return load(argument, data, weights=weights, folder=folder, device=device)


def load_plugin(text: str, data: DataConfig) -> Features:
    """Return the extractor of a plugin ``"module.path:Name(parameter=value)"``.

    It is an nn.Module that takes uint8 images [B, C, H, W] and returns features [B, D] and logits
    [B, K] or None. Attributes: ``dimensions`` (D); optionally ``classes`` (K, 0 by default),
    ``weights_sha256`` (by default the hash of the weights, the module's file and the parameters),
    ``resize`` (a description) and ``batch_size`` (64). Raises UserError.
    """
    network = build_plugin(text)
    if not isinstance(network, nn.Module):
        raise UserError(f"{text}: a feature extractor must be an nn.Module")
    dimensions = getattr(network, "dimensions", None)
    if not isinstance(dimensions, int):
        raise UserError(f"{text}: needs an integer attribute 'dimensions', the number of features")
    features = Features(
        text,
        network.eval().requires_grad_(False),
        dimensions,
        classes=getattr(network, "classes", 0),
        weights_sha256=getattr(network, "weights_sha256", "") or _plugin_digest(text, network),
        resize=getattr(network, "resize", "none"),
        batch_size=getattr(network, "batch_size", 64),
    )
    _check_shapes(features, data)
    return features


def _check_shapes(features: Features, data: DataConfig) -> None:
    """Raise UserError unless two images give features and logits of the promised shapes."""
    images = torch.zeros(2, data.channels, data.resolution, data.resolution, dtype=torch.uint8)
    try:
        values, logits = features(images)
    except Exception as error:  # anything that a plugin raises is the plugin's mistake
        raise UserError(f"{features.name}: {type(error).__name__}: {error}") from error
    found = [list(values.shape), None if logits is None else list(logits.shape)]
    expected = [[2, features.dimensions], [2, features.classes] if features.classes else None]
    if found != expected:
        raise UserError(
            f"{features.name}: two images gave features and logits {found}, not {expected} as "
            "its attributes dimensions and classes say"
        )


def _plugin_digest(text: str, network: nn.Module) -> str:
    """Return a SHA-256 of everything that determines the features of a plugin."""
    file = plugin_file(text)
    source = file.read_bytes() if file else b""
    parts = (text.encode(), source, weights_digest(network).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def weights_digest(network: nn.Module) -> str:
    """Return the SHA-256 of all weights."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def weights_sha256(file: Path, network: str) -> str:
    """Return the SHA-256 of a file of weights. Raises UserError if it cannot be read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read the {network} weights {file}: {error.strerror}") from error
