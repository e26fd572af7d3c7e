"""Measuring images against real ones: the same number for any number of ranks and any batches."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from d3gan.config import DataConfig
from d3gan.data.cache import ImageSet, cache_folder
from d3gan.evaluation.features.extractor import load_features
from d3gan.evaluation.metrics import table
from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.metrics.names import check_names, metric_names
from d3gan.evaluation.protocol import EvaluationProtocol
from d3gan.evaluation.real_statistics import Draw, collect, pixel_digest, real_statistics
from d3gan.training import distributed
from d3gan.training.sampling import generate, latents, to_uint8

SEED = 0
"""Of the latents, the same for every run, so that runs of several seeds have one contract."""


class Measurement(NamedTuple):
    """Numbers and what they depend on."""

    numbers: dict[str, Estimate]
    contract: EvaluationProtocol

    def to_dict(self) -> dict[str, Any]:
        """``{"fd": 1.2, "fd_stderr": 0.1, ..., "protocol": {...}}``, for JSON."""
        flat: dict[str, Any] = {}
        for name, estimate in self.numbers.items():
            flat |= {name: estimate.value, f"{name}_stderr": estimate.standard_error}
        return flat | {"protocol": self.contract.to_dict()}


class Evaluator:
    """Measures sets of `samples` images against the same real ones, by the same features.

    All ranks make it and call it together. `real` are the images of `data`; `metrics` are the
    numbers to compute, all that the features give if empty; `weights` is a local file of
    Inception's weights, or "". Raises UserError.
    """

    def __init__(
        self,
        data: DataConfig,
        real: ImageSet,
        *,
        features: str,
        metrics: tuple[str, ...],
        samples: int,
        weights: str,
        device: torch.device,
        allow_few: bool = False,
    ) -> None:
        self.data, self.real_images, self.samples = data, len(real.images), samples
        self.family, self.allow_few = features.partition(":")[0], allow_few
        self.asked = check_names(metrics, self.family)
        self.better = metric_names(self.family)
        self.features = distributed.from_main(
            lambda: load_features(
                features, data, weights=weights, folder=cache_folder(), device=device
            )
        ).to(device)
        table.check_counts(
            self.asked,
            self.family,
            real=len(real.images),
            generated=samples,
            dimensions=self.features.dimensions,
            allow_few=allow_few,
        )
        self.keeps_features = table.stores_features(self.asked, self.family)
        kept = min(samples, len(real.images)) if self.keeps_features else 0
        self.real_sha256 = distributed.from_main(lambda: pixel_digest(real.images))
        self.real = real_statistics(self.features, real.images, self.real_sha256, kept)

    def measure(
        self, draw: Draw, *, seed: int | None = None, ema: bool | None = None, title: str = ""
    ) -> Measurement:
        """The numbers for the images that `draw` gives; `seed` and `ema` go into the contract.

        A progress bar is shown if there is a `title`.
        """
        keep = self.keeps_features
        generated = collect(self.features, draw, self.samples, keep=keep, title=title)
        numbers = distributed.from_main(
            lambda: table.compute(
                self.real, generated, self.asked, self.family, allow_few=self.allow_few
            )
        )
        return Measurement(numbers, self.contract(seed=seed, ema=ema))

    def contract(self, *, seed: int | None = None, ema: bool | None = None) -> EvaluationProtocol:
        """What all numbers from here will depend on."""
        return EvaluationProtocol(
            features=self.features.name,
            weights_sha256=self.features.weights_sha256,
            test_accuracy=self.features.test_accuracy,
            resize=self.features.resize,
            resolution=self.data.resolution,
            channels=self.data.channels,
            real_source=self.data.source,
            real_split=self.data.split,
            real_images=self.real_images,
            real_sha256=self.real_sha256,
            generated_images=self.samples,
            seed=seed,
            ema=ema,
        )

    def measure_generator(
        self,
        generator: nn.Module,
        latent_dim: int,
        *,
        ema: bool,
        seed: int = SEED,
        title: str = "",
    ) -> Measurement:
        """The numbers for the first images of the endless list that `seed` names."""

        def draw(numbers: range) -> Tensor:
            z = latents(len(numbers), latent_dim, seed, numbers.start)
            return torch.from_numpy(to_uint8(generate(generator, z)))

        return self.measure(draw, seed=seed, ema=ema, title=title)
