"""Measuring generated images against real ones, independently of ranks and batch size."""

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

import torch

from d3gan.config import DataConfig, EvalConfig
from d3gan.data.cache import ImageSet
from d3gan.data.locations import cache_folder
from d3gan.evaluation.features.extractor import Features, load_features
from d3gan.evaluation.features.names import class_scores, names_plugin
from d3gan.evaluation.metrics import table
from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.metrics.names import available, check_names, metric_names
from d3gan.evaluation.protocol import EvaluationProtocol
from d3gan.evaluation.ranks import SINGLE_PROCESS, Ranks
from d3gan.evaluation.real_statistics import Draw, Requested, collect, pixel_digest, real_statistics


class Measurement(NamedTuple):
    """Metrics and the protocol by which they were measured."""

    numbers: dict[str, Estimate]
    protocol: EvaluationProtocol
    seeds: tuple[int, ...] = ()
    """Seeds of the draws of latents whose means the numbers are; empty for a single set."""

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"fd": 1.2, "fd_stderr": 0.1, ..., "protocol": {...}}`` for JSON.

        With seeds there are also ``{"draws": 3, "seeds": [1, 2, 3]}``.
        """
        flat: dict[str, Any] = {}
        for name, estimate in self.numbers.items():
            flat |= {name: estimate.value, f"{name}_stderr": estimate.standard_error}
        if self.seeds:
            flat |= {"draws": len(self.seeds), "seeds": list(self.seeds)}
        return flat | {"protocol": self.protocol.to_dict()}


def mean_over_draws(draws: Sequence[Measurement], seeds: Sequence[int]) -> Measurement:
    """Return the mean of measurements of one generator, from draws of latents with these seeds.

    The standard error is that of the mean: the standard deviation of the draws over the root of
    their number. A single draw keeps the estimate that its metric gives. The protocol is that of
    the first draw.
    """
    numbers = draws[0].numbers
    if len(draws) > 1:
        values = {name: [draw.numbers[name].value for draw in draws] for name in numbers}
        numbers = {
            name: Estimate(fmean(of_draws), stdev(of_draws) / len(draws) ** 0.5)
            for name, of_draws in values.items()
        }
    return Measurement(numbers, draws[0].protocol, tuple(seeds))


SAME_LABELS = {"digits": "mnist"}
"""Sources whose labels mean what those of another source mean, whose classifier reads them too."""


class Evaluator:
    """Measures sets of generated images against the same real images and features.

    All ranks construct and call it together. `real` are the images of `data`; `wanted` says what
    to measure, and of how many images. `classes` is the number of classes of the generators to be
    measured: 0 if they are unconditional, None if the images are no generator's. Raises UserError.
    """

    def __init__(
        self,
        data: DataConfig,
        real: ImageSet,
        wanted: EvalConfig,
        device: torch.device,
        *,
        classes: int | None = None,
        ranks: Ranks = SINGLE_PROCESS,
        allow_few: bool = False,
    ) -> None:
        features, metrics, samples = wanted.features, wanted.metrics, wanted.samples
        self.data, self.real_images, self.samples = data, len(real.images), samples
        self.classes, self.ranks, self.allow_few = classes, ranks, allow_few
        self.real_resized, self.real_revision = real.resized, real.revision or None
        self.better = metric_names(features)
        check_names(metrics, features)  # before the features are downloaded or trained

        def load() -> Features:
            folder, weights = cache_folder(), wanted.weights
            return load_features(features, data, weights=weights, folder=folder, device=device)

        if names_plugin(features):  # every rank must import the module
            with ranks.raise_together():
                loaded = load()
        else:
            loaded = ranks.from_main(load)
        self.features = loaded.to(device)
        self.asked = available(
            metrics, features, classes=self.features.classes, labels=self._knows_labels(real)
        )
        table.check_counts(
            self.asked,
            features,
            real=len(real.images),
            generated=samples,
            dimensions=self.features.dimensions,
            allow_few=allow_few,
        )
        self.keeps_features = table.stores_features(self.asked, features)
        kept = min(samples, len(real.images)) if self.keeps_features else 0
        self.real_sha256 = ranks.from_main(lambda: pixel_digest(real.images))
        self.real = real_statistics(self.features, real.images, self.real_sha256, kept, ranks)
        self.real_modes = ranks.from_main(self._real_modes)

    def _real_modes(self) -> int | None:
        """Return how many classes the extractor finds in the real images, if they describe them."""
        found = int((self.real.class_counts > 0).sum())
        return found if found and class_scores(self.features.name) == "classes" else None

    def _knows_labels(self, real: ImageSet) -> bool:
        """Return whether the extractor's classes are those of a conditional generator."""
        if not self.classes:
            return False
        name, source = self.features.name, self.data.source
        described = {f"classifier:{known}" for known in (source, SAME_LABELS.get(source, source))}
        same = name in described or names_plugin(name)
        return same and self.features.classes == real.classes == self.classes

    def measure(
        self,
        draw: Draw,
        requested: Requested | None = None,
        *,
        seed: int | None = None,
        ema: bool | None = None,
        title: str = "",
    ) -> Measurement:
        """Return the metrics of images 0..samples-1 that `draw` gives.

        `requested` are the classes of a conditional generator's images. `seed` and `ema` are
        recorded in the protocol. A `title` shows a progress bar.
        """
        generated = collect(
            self.features,
            draw,
            self.samples,
            self.ranks,
            requested=requested,
            keep=self.keeps_features,
            title=title,
        )
        numbers = self.ranks.from_main(
            lambda: table.compute(
                self.real, generated, self.asked, self.features.name, allow_few=self.allow_few
            )
        )
        return Measurement(numbers, self.protocol(seed=seed, ema=ema))

    def protocol(self, *, seed: int | None = None, ema: bool | None = None) -> EvaluationProtocol:
        """Return the protocol of measurements by this evaluator."""
        return EvaluationProtocol(
            features=self.features.name,
            weights_sha256=self.features.weights_sha256,
            test_accuracy=self.features.test_accuracy,
            training_command=self.features.training_command,
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
            classes=self.classes,
            real_modes=self.real_modes,
            real_resized=self.real_resized,
            real_revision=self.real_revision,
        )
