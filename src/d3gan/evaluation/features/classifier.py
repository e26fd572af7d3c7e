"""A small classifier of a data set's own labels, whose features describe its images.

Training is deterministic: the same data and recipe give the same network.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from d3gan.data.sampler import batch_indices
from d3gan.progress import progress_bar
from d3gan.rng import Stream, normal, uniform

SIDE = 32
"""Larger images are averaged down to this side before the network."""


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a classifier, which are part of the key of the cache."""

    width: int
    epochs: float
    """Number of passes over the data, within the limits below."""
    least_images: int = 60_000
    """Smallest number of images to train on, repeated at most `most_epochs` times."""
    most_images: int = 500_000
    most_epochs: float = 60.0
    batch_size: int = 64
    learning_rate: float = 0.07
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_up: float = 0.2
    """Share of the steps in which the learning rate rises; then it falls to 0."""
    mirror: bool = False
    """Whether images are mirrored at random."""
    shift: int = 2
    """Largest random translation of an image, in pixels."""
    version: int = 1
    """Increase it when the code below computes something else."""

    def steps(self, images: int) -> int:
        """Return the number of training steps for a set of `images` images."""
        wanted = max(self.epochs * images, self.least_images)
        seen = min(wanted, self.most_images, self.most_epochs * images)
        return math.ceil(seen / self.batch_size)


RECIPES = {1: Recipe(width=32, epochs=3.0), 3: Recipe(width=48, epochs=5.0)}
"""Recipe for each number of channels."""

SOURCE_RECIPES = {("cifar10", 3): replace(RECIPES[3], epochs=10.0, mirror=True)}
"""Recipes of data sources with a number of channels that have one of their own."""


class Classifier(nn.Module):
    """Maps images [B, C, H, W], 0..255, to features [B, 128] and logits [B, K].

    Images of a side below `least_side` are enlarged to it by bilinear interpolation, those of a
    side above `SIDE` are averaged down to `SIDE`.
    """

    dimensions = 128

    def __init__(self, channels: int, width: int, classes: int, least_side: int = 0) -> None:
        super().__init__()
        self.channels, self.classes, self.least_side = channels, classes, least_side
        self.body = nn.Sequential(
            *_stage(channels, width, kernel=4, stride=2),
            *_stage(width, width),
            nn.MaxPool2d(2),
            *_stage(width, 2 * width),
            *_stage(2 * width, 2 * width),
            nn.MaxPool2d(2),
            *_stage(2 * width, self.dimensions),
        )
        self.head = nn.Linear(self.dimensions, classes)
        self.body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = images.to(self.head.weight.dtype) / 127.5 - 1
        if x.shape[-1] > SIDE:
            x = functional.adaptive_avg_pool2d(x, SIDE)
        elif x.shape[-1] < self.least_side:
            x = functional.interpolate(x, size=self.least_side, mode="bilinear")
        x = self.body(x.contiguous(memory_format=torch.channels_last))
        features = x.mean((2, 3))
        return features, self.head(features)

    def resize(self, side: int) -> str:
        """Return a description of what happens to images of a side before the first layer."""
        if side > SIDE:
            return f"area mean to {SIDE}"
        return f"bilinear to {self.least_side}" if side < self.least_side else "none"


def _stage(channels: int, out: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, out, kernel, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]


class PerChannel(nn.Module):
    """Applies a classifier of grey images to each of three channels: 3 * 128 features, K^3 classes.

    The logit [B, K^3] of class 100 r + 10 g + b is the sum of the three log-probabilities, so its
    probability is their product.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.dimensions, self.classes = 3 * classifier.dimensions, classifier.classes**3

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = self.classifier(images.flatten(0, 1)[:, None])
        r, g, b = logits.view(len(images), 3, -1).log_softmax(2).unbind(1)
        joint = r[:, :, None, None] + g[:, None, :, None] + b[:, None, None, :]
        return features.view(len(images), -1), joint.flatten(1)


def train_classifier(
    images: Tensor, labels: Tensor, recipe: Recipe, device: torch.device, title: str = "classifier"
) -> Classifier:
    """Return a classifier trained on uint8 images [M, C, H, W] and labels [M] in 0..K-1.

    The result is a function of images, labels and recipe.
    """
    network = Classifier(images.shape[1], recipe.width, int(labels.max()) + 1)
    _initialise(network)
    network.to(device)
    optimizer = torch.optim.SGD(
        network.parameters(),
        recipe.learning_rate,
        recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )
    steps = recipe.steps(len(images))
    with (
        torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False),
        progress_bar(title, steps) as bar,
    ):
        for step in range(steps):
            done = step / steps
            rise, fall = done / recipe.warm_up, (1 - done) / (1 - recipe.warm_up)
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * min(rise, fall)
            positions = step * recipe.batch_size + torch.arange(recipe.batch_size)
            indices = batch_indices(0, positions, len(images))
            batch = shifted(images[indices].to(device), positions, recipe.shift)
            if recipe.mirror:
                batch = mirrored(batch, positions)
            loss = functional.cross_entropy(network(batch)[1], labels[indices].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.advance()
    return network.eval().requires_grad_(False)


def shifted(images: Tensor, positions: Tensor, most: int) -> Tensor:
    """Return images [B, C, H, W], each translated by up to `most` pixels with repeated edges.

    The translation is a function of the image's position [B] in the order of training.
    """
    draws = uniform(0, Stream.CLASSIFIER, 0, positions, 2)
    down, right = ((2 * most + 1) * draws).long().to(images.device).unbind(1)
    rows, columns = (
        (torch.arange(side, device=images.device) + by[:, None] - most).clamp(0, side - 1)
        for side, by in ((images.shape[2], down), (images.shape[3], right))
    )
    each = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def mirrored(images: Tensor, positions: Tensor) -> Tensor:
    """Return images [B, C, H, W], each mirrored with probability 1/2.

    The choice is a function of the image's position [B] in the order of training.
    """
    chosen = uniform(0, Stream.FLIP, 0, positions, 1)[:, 0] < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


@torch.no_grad()
def _initialise(network: nn.Module) -> None:
    """Initialise weights with N(0, 2 / fan in) (He et al. 2015) and biases with 0."""
    for member, module in enumerate(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight
            index = torch.arange(weight.numel())
            draws = normal(0, Stream.CLASSIFIER, 1 + member, index, 1).view(weight.shape)
            weight.copy_(draws * (2 / weight[0].numel()) ** 0.5)
            if module.bias is not None:
                module.bias.zero_()


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images [M, C, H, W] that the network classifies as labels [M]."""
    device = next(network.parameters()).device
    hits = 0
    for batch, truth in zip(images.split(500), labels.split(500), strict=True):
        hits += int((network(batch.to(device))[1].argmax(1).cpu() == truth).sum())
    return hits / len(labels)
