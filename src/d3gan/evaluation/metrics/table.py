"""Computing the metrics that are asked for."""

from importlib import import_module

from d3gan.errors import UserError
from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.metrics.names import METRICS, metrics_for, shown_name
from d3gan.evaluation.statistics import Statistics


def stores_features(asked: tuple[str, ...], features: str) -> bool:
    """Return whether one of the numbers needs the features of every image."""
    return any(metric.stores_features for metric in metrics_for(asked, features))


def check_counts(
    asked: tuple[str, ...],
    features: str,
    *,
    real: int,
    generated: int,
    dimensions: int,
    allow_few: bool = False,
) -> None:
    """Raise UserError if one of the numbers is undefined for so few images.

    `allow_few` permits a covariance of fewer images than features, which is singular and makes the
    Fréchet distance too large.
    """
    for metric in metrics_for(asked, features):
        least, why = metric.least_images, ""
        if metric.needs_covariance and not allow_few:
            least, why = dimensions + 1, f" for the covariance of {dimensions} features"
        few = {s: n for s, n in {"real": real, "generated": generated}.items() if n < least}
        if few:
            name = shown_name(next(iter(metric.gives)), features)
            needed = " and ".join(f"{least} {side}" for side in few)
            found = " and ".join(f"{count} {side}" for side, count in few.items())
            raise UserError(
                f"{name} needs at least {needed} images{why}, but there are {found} images; "
                f"{_remedies(features, min(real, generated))}"
            )


def _remedies(features: str, images: int) -> str:
    """Return what can be done about too few images: with `images`, the kernel distance may do."""
    kernel = next(metric for metric in METRICS if "kd" in metric.gives)
    name = shown_name("kd", features)
    other = f", measure another metric (--eval.metrics {name}; in d3gan evaluate, --metrics {name})"
    return (
        f"use more images{other if images >= kernel.least_images else ''}, or train without "
        "evaluations (--eval.every-epochs 0)"
    )


def compute(
    real: Statistics,
    generated: Statistics,
    asked: tuple[str, ...],
    features: str,
    *,
    allow_few: bool = False,
) -> dict[str, Estimate]:
    """Return the numbers `asked`, in the order of `asked`. Raises UserError as `check_counts`."""
    check_counts(
        asked,
        features,
        real=real.count,
        generated=generated.count,
        dimensions=len(real.moments.sum),
        allow_few=allow_few,
    )
    numbers: dict[str, Estimate] = {}
    for metric in metrics_for(asked, features):
        module = import_module(f"d3gan.evaluation.metrics.{metric.module}")
        computed: dict[str, Estimate] = module.compute(real, generated)
        numbers |= {shown_name(number, features): e for number, e in computed.items()}
    return {name: numbers[name] for name in asked}
