"""The random numbers of a step."""

import torch
from torch import Tensor

from d3gan.acceleration.precision import DTYPES
from d3gan.config import Config
from d3gan.devices import float64_device, onto
from d3gan.gan.game import Batch
from d3gan.rng import Stream, normal, uniform
from d3gan.training.build import Rules

AUGMENTED = 4
"""Sets of images augmented in a step: real and generated ones, in the steps of both players."""


BATCHES_AT_ONCE = 16
"""Batches whose latents are drawn together. The latents of one batch take dozens of small kernels,
as many as those of several batches; on CUDA each kernel costs its launch."""
NUMBERS_AT_ONCE = 2**22
"""Most numbers that are drawn together, so that large batches do not fill the memory."""


class Draws:
    """Random numbers of a step: functions of the seed, the batch and the global image index."""

    def __init__(self, config: Config, rules: Rules, shard: range, device: torch.device) -> None:
        self.config, self.dtype = config, DTYPES[config.train.precision]
        self.latent_dim = config.model.latent_dim
        self.device, drawn_on = device, float64_device(device)
        self.here = torch.arange(shard.start, shard.stop, device=drawn_on)
        self.discriminators = torch.arange(config.gan.discriminators, device=drawn_on)
        self._aggregates_at_random = rules.aggregation.uses_random and config.gan.discriminators > 1
        unused = torch.zeros((len(self.discriminators), 1), dtype=torch.float64, device=drawn_on)
        self._unused = onto(unused, device)
        each = max(1, len(shard) * self.latent_dim)
        self._at_once = max(1, min(BATCHES_AT_ONCE, NUMBERS_AT_ONCE // each))
        self._latents: tuple[int, Tensor] | None = None
        self.augmentations = len(rules.augmentations)
        self.augmentation_draws = sum(each.draws for each in rules.augmentations)
        self.interpolates = any(penalty.interpolates for penalty in rules.penalties)

    def latents(self, batch: int) -> Tensor:
        """Return this rank's latents z [B, latent] of a batch."""
        block, place = divmod(batch, self._at_once)
        if self._latents is None or self._latents[0] != block:
            self._latents = None  # frees the previous block before the next one is drawn
            first = block * self._at_once
            batches = torch.arange(first, first + self._at_once, device=self.here.device)
            z = normal(self.config.seed, Stream.NOISE, batches, self.here, self.latent_dim)
            self._latents = block, onto(z.to(self.dtype), self.device)
        return self._latents[1][place]

    def augmentation(self, batch: int | Tensor) -> Tensor | None:
        """Return `Batch.augmentation` [4, B, draws]; None without augmentations."""
        if not self.augmentation_draws:
            return None
        draws = self._of_augmented(Stream.AUGMENTATION, batch, self.augmentation_draws)
        return onto(draws, self.device)

    def augmented(self, batch: int | Tensor, probability: float | Tensor | None) -> Tensor | None:
        """Return `Batch.augmented` bool [4, B, augmentations]; None if `probability` is None."""
        if probability is None:
            return None
        draws = self._of_augmented(Stream.AUGMENTATION_CHOICE, batch, self.augmentations)
        return onto(draws < probability, self.device)

    def _of_augmented(self, stream: Stream, batch: int | Tensor, each: int) -> Tensor:
        """Return random numbers [4, B, each] of the augmented images."""
        numbers = uniform(self.config.seed, stream, batch, self.here, AUGMENTED * each)
        return numbers.view(len(self.here), AUGMENTED, each).transpose(0, 1)

    def interpolation(self, batch: int | Tensor) -> Tensor | None:
        """Return `Batch.interpolation` [B, 1]; None if no penalty uses it."""
        if not self.interpolates:
            return None
        draws = uniform(self.config.seed, Stream.INTERPOLATION, batch, self.here, 1)
        return onto(draws, self.device)

    def aggregation(self, step: int | Tensor) -> Tensor:
        """Return the random numbers [N, 1] in (0, 1) of the rule, the same on every rank.

        They are zeros for a rule that does not use them.
        """
        if not self._aggregates_at_random:
            return self._unused
        draws = uniform(self.config.seed, Stream.AGGREGATION, step, self.discriminators, 1)
        return onto(draws, self.device)

    def batch(
        self,
        number: int | Tensor,
        real: Tensor,
        labels: Tensor | None,
        augmentation_probability: float | Tensor | None = None,
        *,
        latents: Tensor | None = None,
    ) -> Batch:
        """Return batch `number` with its real images and labels.

        Each augmentation changes an image with the given probability; None: every image. The
        `latents` must be given if `number` is a tensor.
        """
        if latents is None:
            assert isinstance(number, int)
            latents = self.latents(number)
        random = (self.augmentation(number), self.interpolation(number))
        augmented = self.augmented(number, augmentation_probability)
        return Batch(real, latents, labels, *random, augmented)
