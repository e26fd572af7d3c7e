"""Measuring generated images against real ones, independently of ranks and batch size."""

from typing import Any, NamedTuple

import torch

from d3gan.config import DataConfig
from d3gan.data.cache import ImageSet, cache_folder
from d3gan.evaluation.features.extractor import load_features
from d3gan.evaluation.metrics import table
from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.metrics.names import check_names, metric_names
from d3gan.evaluation.protocol import EvaluationProtocol
from d3gan.evaluation.ranks import SINGLE_PROCESS, Ranks
from d3gan.evaluation.real_statistics import Draw, collect, pixel_digest, real_statistics


class Measurement(NamedTuple):
    """Metrics and the protocol by which they were measured."""

    numbers: dict[str, Estimate]
    protocol: EvaluationProtocol

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"fd": 1.2, "fd_stderr": 0.1, ..., "protocol": {...}}`` for JSON."""
        flat: dict[str, Any] = {}
        for name, estimate in self.numbers.items():
            flat |= {name: estimate.value, f"{name}_stderr": estimate.standard_error}
        return flat | {"protocol": self.protocol.to_dict()}


class Evaluator:
    """Measures sets of `samples` generated images against the same real images and features.

    All ranks construct and call it together. `real` are the images of `data`; `metrics` are the
    numbers to compute, or () for all that the features give; `weights` is a local file of the
    Inception weights, or "". Raises UserError.
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
        ranks: Ranks = SINGLE_PROCESS,
        allow_few: bool = False,
    ) -> None:
        self.data, self.real_images, self.samples = data, len(real.images), samples
        self.ranks, self.allow_few = ranks, allow_few
        self.family = features.partition(":")[0]
        self.asked = check_names(metrics, self.family)
        self.better = metric_names(self.family)
        self.features = ranks.from_main(
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
        self.real_sha256 = ranks.from_main(lambda: pixel_digest(real.images))
        self.real = real_statistics(self.features, real.images, self.real_sha256, kept, ranks)

    def measure(
        self, draw: Draw, *, seed: int | None = None, ema: bool | None = None, title: str = ""
    ) -> Measurement:
        """Return the metrics of images 0..samples-1 that `draw` gives.

        `seed` and `ema` are recorded in the protocol. A `title` shows a progress bar.
        """
        generated = collect(
            self.features, draw, self.samples, self.ranks, keep=self.keeps_features, title=title
        )
        numbers = self.ranks.from_main(
            lambda: table.compute(
                self.real, generated, self.asked, self.family, allow_few=self.allow_few
            )
        )
        return Measurement(numbers, self.protocol(seed=seed, ema=ema))

    def protocol(self, *, seed: int | None = None, ema: bool | None = None) -> EvaluationProtocol:
        """Return the protocol of measurements by this evaluator."""
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
