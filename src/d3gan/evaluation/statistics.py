"""Statistics of a set of images that the metrics need: sums in float64 over batches.

The sums of a set are the sums over its parts, so every rank adds up its own part.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from d3gan.rng import Stream, permutation

SPLITS = 10
"""Number of parts of a set for which the Inception score is computed, as its authors do."""


@dataclass
class Statistics:
    """Sums over the images of one set of `total` images with D features and K classes."""

    total: int
    moments: "Moments"
    class_counts: Tensor
    """Number of images classified as each class, float64 [K]."""
    scores: "ScoreSums"
    agreements: Tensor
    """Number of images classified as the class that was requested of a generator, float64 []."""
    features: list[Tensor] | None
    """Features of the images in order, float32 [B, D] each; None if no metric needs them."""
    splits: Tensor
    """Part for the Inception score that each image belongs to, drawn at random, [total]."""

    @staticmethod
    def empty(
        total: int, dimensions: int, classes: int, device: torch.device, *, keep: bool
    ) -> "Statistics":
        """Return statistics before the first image; `keep` stores the features of every image."""
        return Statistics(
            total,
            Moments.empty(dimensions, device),
            torch.zeros(classes, dtype=torch.float64, device=device),
            ScoreSums.empty(classes, device),
            torch.zeros((), dtype=torch.float64, device=device),
            [] if keep else None,
            _splits(total).to(device),
        )

    def add(
        self, features: Tensor, logits: Tensor | None, first: int, requested: Tensor | None = None
    ) -> None:
        """Add images number `first` and following.

        `features` [B, D]; `logits` [B, K], or None if the extractor has none; `requested` classes
        [B] of a conditional generator.
        """
        self.moments.add(features)
        if self.features is not None:
            self.features.append(features.float())
        if logits is None:
            return
        predicted = logits.argmax(1)
        self.class_counts += torch.bincount(predicted, minlength=logits.shape[1])
        self.scores.add(logits, self.splits[first : first + len(logits)])
        if requested is not None:
            self.agreements += (predicted == requested.to(predicted.device)).sum()

    @property
    def count(self) -> int:
        """Number of images added so far."""
        return round(float(self.moments.count))

    @property
    def rows(self) -> Tensor:
        """All features [M, D]. Raises ValueError if they were not stored."""
        if self.features is None:
            raise ValueError("the features of each image were not stored")
        return torch.cat(self.features)

    def sums(self) -> list[Tensor]:
        """Return all sums, to be summed over ranks in place."""
        return [*self._saved_sums(), self.agreements]

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values, without `agreements`, which real images do not have."""
        rows = None if self.features is None else self.rows
        return {"total": self.total, "sums": self._saved_sums(), "rows": rows}

    def _saved_sums(self) -> list[Tensor]:
        return [*vars(self.moments).values(), self.class_counts, *vars(self.scores).values()]

    @staticmethod
    def from_state_dict(saved: dict[str, Any], device: torch.device) -> "Statistics":
        """Return the statistics that `state_dict` saved, on a device."""
        count, total, products, classes, *scores = (part.to(device) for part in saved["sums"])
        rows = saved["rows"]
        return Statistics(
            saved["total"],
            Moments(count, total, products),
            classes,
            ScoreSums(*scores),
            torch.zeros((), dtype=torch.float64, device=device),
            None if rows is None else [rows.to(device)],
            _splits(saved["total"]).to(device),
        )


def _splits(total: int) -> Tensor:
    """Return random parts of equal size (to one), because images are often sorted by class."""
    return permutation(0, Stream.EVALUATION_SUBSET, 2, total) * SPLITS // total


@dataclass
class Moments:
    """Sums that give the mean and the covariance of features."""

    count: Tensor
    """Number of images, []."""
    sum: Tensor
    """[D]"""
    products: Tensor
    """Sum of x x^T, [D, D]."""

    @staticmethod
    def empty(dimensions: int, device: torch.device) -> "Moments":
        """Return sums over no images."""
        zeros = torch.zeros(dimensions, dimensions, dtype=torch.float64, device=device)
        return Moments(zeros.new_zeros(()), zeros.new_zeros(dimensions), zeros)

    def add(self, features: Tensor) -> None:
        """Add features [B, D] of B images."""
        x = features.double()
        self.count += len(x)
        self.sum += x.sum(0)
        self.products += x.T @ x

    def mean(self) -> Tensor:
        """Return the mean [D]."""
        return self.sum / self.count

    def covariance(self) -> Tensor:
        """Return the unbiased covariance [D, D] (division by M - 1, as numpy.cov)."""
        mean = self.mean()
        return (self.products - self.count * torch.outer(mean, mean)) / (self.count - 1)


@dataclass
class ScoreSums:
    """Sums that give the Inception score of each part of a set."""

    count: Tensor
    """Number of images of each part, [S]."""
    probabilities: Tensor
    """Sum of p(y|x), [S, K]."""
    negative_entropy: Tensor
    """Sum over images of sum_y p(y|x) log p(y|x), [S]."""

    @staticmethod
    def empty(classes: int, device: torch.device, splits: int = SPLITS) -> "ScoreSums":
        """Return sums over no images."""
        zeros = torch.zeros(splits, classes, dtype=torch.float64, device=device)
        return ScoreSums(zeros.new_zeros(splits), zeros, zeros.new_zeros(splits))

    def add(self, logits: Tensor, split: Tensor) -> None:
        """Add logits [B, K] of B images, each of which belongs to part `split` [B]."""
        log_p = logits.double().log_softmax(1)
        p = log_p.exp()
        self.count.index_add_(0, split, torch.ones_like(p[:, 0]))
        self.probabilities.index_add_(0, split, p)
        self.negative_entropy.index_add_(0, split, (p * log_p).sum(1))
