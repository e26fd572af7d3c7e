"""What the metrics know of a set of images: sums in float64, added up batch by batch.

Sums over the parts of a set are the sums of the set, so every rank adds up its own part.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from d3gan.rng import Stream, permutation

SPLITS = 10
"""Parts of a set for which the Inception score is computed, as its authors do."""


@dataclass
class Statistics:
    """Sums over the images of one set of `total` images with D features and K classes."""

    total: int
    moments: "Moments"
    class_counts: Tensor
    """How many images were taken for each class, float64 [K]."""
    scores: "ScoreSums"
    features: list[Tensor] | None
    """Features of the images in order, float32 [B, D] each; None if no metric needs them."""
    splits: Tensor
    """The part for the Inception score that each image belongs to, drawn at random, [total]."""

    @staticmethod
    def empty(
        total: int, dimensions: int, classes: int, device: torch.device, *, keep: bool
    ) -> "Statistics":
        """Of no image yet; `keep` the features of each."""
        return Statistics(
            total,
            Moments.empty(dimensions, device),
            torch.zeros(classes, dtype=torch.float64, device=device),
            ScoreSums.empty(classes, device),
            [] if keep else None,
            _splits(total).to(device),
        )

    def add(self, features: Tensor, logits: Tensor, first: int) -> None:
        """Images number `first` and on, with features [B, D] and logits [B, K]."""
        self.moments.add(features)
        self.class_counts += torch.bincount(logits.argmax(1), minlength=logits.shape[1])
        self.scores.add(logits, self.splits[first : first + len(logits)])
        if self.features is not None:
            self.features.append(features.float())

    @property
    def count(self) -> int:
        """Images added so far."""
        return round(float(self.moments.count))

    @property
    def rows(self) -> Tensor:
        """All features [M, D]. Raises ValueError if they were not kept."""
        if self.features is None:
            raise ValueError("the features of each image were not kept")
        return torch.cat(self.features)

    def sums(self) -> list[Tensor]:
        """All that is added up, to be summed over ranks in place."""
        return [*vars(self.moments).values(), self.class_counts, *vars(self.scores).values()]

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values alone."""
        rows = None if self.features is None else self.rows
        return {"total": self.total, "sums": self.sums(), "rows": rows}

    @staticmethod
    def from_state_dict(saved: dict[str, Any], device: torch.device) -> "Statistics":
        """What `state_dict` gave, on a device."""
        count, total, products, classes, *scores = (part.to(device) for part in saved["sums"])
        rows = saved["rows"]
        return Statistics(
            saved["total"],
            Moments(count, total, products),
            classes,
            ScoreSums(*scores),
            None if rows is None else [rows.to(device)],
            _splits(saved["total"]).to(device),
        )


def _splits(total: int) -> Tensor:
    """Parts of equal size (to one) at random: images often come sorted by class."""
    return permutation(0, Stream.EVALUATION_SUBSET, 2, total) * SPLITS // total


@dataclass
class Moments:
    """Sums that give mean and covariance of features."""

    count: Tensor
    """[]"""
    sum: Tensor
    """[D]"""
    products: Tensor
    """Sum of x x^T, [D, D]."""

    @staticmethod
    def empty(dimensions: int, device: torch.device) -> "Moments":
        """Of nothing yet."""
        zeros = torch.zeros(dimensions, dimensions, dtype=torch.float64, device=device)
        return Moments(zeros.new_zeros(()), zeros.new_zeros(dimensions), zeros)

    def add(self, features: Tensor) -> None:
        """Features [B, D] of B more images."""
        x = features.double()
        self.count += len(x)
        self.sum += x.sum(0)
        self.products += x.T @ x

    def mean(self) -> Tensor:
        """[D]"""
        return self.sum / self.count

    def covariance(self) -> Tensor:
        """Unbiased (division by M - 1), as numpy.cov has it, [D, D]."""
        mean = self.mean()
        return (self.products - self.count * torch.outer(mean, mean)) / (self.count - 1)


@dataclass
class ScoreSums:
    """Sums that give the Inception score of each part of a set."""

    count: Tensor
    """[S]"""
    probabilities: Tensor
    """Sum of p(y|x), [S, K]."""
    negative_entropy: Tensor
    """Sum over images of sum_y p(y|x) log p(y|x), [S]."""

    @staticmethod
    def empty(classes: int, device: torch.device, splits: int = SPLITS) -> "ScoreSums":
        """Of nothing yet."""
        zeros = torch.zeros(splits, classes, dtype=torch.float64, device=device)
        return ScoreSums(zeros.new_zeros(splits), zeros, zeros.new_zeros(splits))

    def add(self, logits: Tensor, split: Tensor) -> None:
        """Logits [B, K] of B more images, each of which belongs to part `split` [B]."""
        log_p = logits.double().log_softmax(1)
        p = log_p.exp()
        self.count.index_add_(0, split, torch.ones_like(p[:, 0]))
        self.probabilities.index_add_(0, split, p)
        self.negative_entropy.index_add_(0, split, (p * log_p).sum(1))
