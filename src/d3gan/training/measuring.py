"""Measuring generators with an evaluator, by images whose latents a seed gives."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from d3gan.evaluation.evaluator import Evaluator, Measurement, mean_over_draws
from d3gan.evaluation.protocol import SELECTION_SEED
from d3gan.training.generator import TrainedGenerator
from d3gan.training.sampling import generate, latents, random_labels, to_uint8


def measure_generator(
    evaluator: Evaluator,
    generator: nn.Module,
    latent_dim: int,
    *,
    ema: bool,
    seed: int = SELECTION_SEED,
    title: str = "",
) -> Measurement:
    """Return the metrics of the first images of the endless sequence that `seed` names.

    If `evaluator.classes` is not 0, the generator is conditional, and its labels are drawn
    uniformly from these classes. All ranks call it together. A `title` shows a progress bar.
    """

    def labels(numbers: range) -> Tensor | None:
        return random_labels(len(numbers), evaluator.classes or 0, seed, numbers.start)

    def draw(numbers: range) -> Tensor:
        z = latents(len(numbers), latent_dim, seed, numbers.start)
        return torch.from_numpy(to_uint8(generate(generator, z, labels(numbers))))

    return evaluator.measure(draw, labels, seed=seed, ema=ema, title=title)


def measure_draws(
    evaluator: Evaluator,
    trained: TrainedGenerator,
    seeds: Sequence[int],
    device: torch.device,
    title: str = "",
) -> Measurement:
    """Return the means of the metrics over draws of latents, one for each seed.

    All ranks call it together. A `title` shows a progress bar for each draw.
    """
    before = trained.device
    titles = [title and f"{title}, draw {k} of {len(seeds)}" for k in range(1, len(seeds) + 1)]
    try:
        generator = trained.to(device).generator
        draws = [
            measure_generator(
                evaluator,
                generator,
                trained.latent_dim,
                ema=trained.ema,
                seed=seed,
                title=of_draw,
            )
            for seed, of_draw in zip(seeds, titles, strict=True)
        ]
    finally:
        trained.to(before)
    return mean_over_draws(draws, seeds)
