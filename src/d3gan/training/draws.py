"""The random numbers of a step."""

import torch
from torch import Tensor

from d3gan.acceleration.precision import DTYPES
from d3gan.config import Config
from d3gan.gan.game import Batch
from d3gan.rng import Stream, normal, uniform
from d3gan.training.build import Rules

AUGMENTED = 4
"""Sets of images augmented in a step: real and generated ones, in the steps of both players."""


class Draws:
    """Random numbers of a step: functions of the seed, the batch and the global image index."""

    def __init__(self, config: Config, rules: Rules, shard: range, device: torch.device) -> None:
        self.config, self.dtype = config, DTYPES[config.train.precision]
        self.here = torch.arange(shard.start, shard.stop, device=device)
        self.discriminators = torch.arange(config.gan.discriminators, device=device)
        self.augmentations = len(rules.augmentations)
        self.augmentation_draws = sum(each.draws for each in rules.augmentations)
        self.interpolates = any(penalty.interpolates for penalty in rules.penalties)

    def latents(self, batch: int | Tensor) -> Tensor:
        """Return this rank's latents z [B, latent] of a batch."""
        latent_dim = self.config.model.latent_dim
        return normal(self.config.seed, Stream.NOISE, batch, self.here, latent_dim).to(self.dtype)

    def augmentation(self, batch: int | Tensor) -> Tensor | None:
        """Return `Batch.augmentation` [4, B, draws]; None without augmentations."""
        if not self.augmentation_draws:
            return None
        return self._of_augmented(Stream.AUGMENTATION, batch, self.augmentation_draws)

    def augmented(self, batch: int | Tensor, probability: float | Tensor | None) -> Tensor | None:
        """Return `Batch.augmented` bool [4, B, augmentations]; None if `probability` is None."""
        if probability is None:
            return None
        return (
            self._of_augmented(Stream.AUGMENTATION_CHOICE, batch, self.augmentations) < probability
        )

    def _of_augmented(self, stream: Stream, batch: int | Tensor, each: int) -> Tensor:
        """Return random numbers [4, B, each] of the augmented images."""
        numbers = uniform(self.config.seed, stream, batch, self.here, AUGMENTED * each)
        return numbers.view(len(self.here), AUGMENTED, each).transpose(0, 1)

    def interpolation(self, batch: int | Tensor) -> Tensor | None:
        """Return `Batch.interpolation` [B, 1]; None if no penalty uses it."""
        if not self.interpolates:
            return None
        return uniform(self.config.seed, Stream.INTERPOLATION, batch, self.here, 1)

    def aggregation(self, step: int | Tensor) -> Tensor:
        """Return the random numbers [N, 1] in (0, 1) of the rule, the same on every rank."""
        return uniform(self.config.seed, Stream.AGGREGATION, step, self.discriminators, 1)

    def batch(
        self,
        number: int | Tensor,
        real: Tensor,
        labels: Tensor | None,
        augmentation_probability: float | Tensor | None = None,
    ) -> Batch:
        """Return batch `number` with its real images and labels.

        Each augmentation changes an image with the given probability; None: every image.
        """
        random = (self.augmentation(number), self.interpolation(number))
        augmented = self.augmented(number, augmentation_probability)
        return Batch(real, self.latents(number), labels, *random, augmented)
