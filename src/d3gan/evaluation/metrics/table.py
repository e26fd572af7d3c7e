"""Computing the metrics that are asked for."""

from importlib import import_module

from d3gan.errors import UserError
from d3gan.evaluation.metrics.estimate import Estimate
from d3gan.evaluation.metrics.names import metrics_for, shown_name
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
        if min(real, generated) < least:
            side = "generated" if generated < least else "real"
            name = shown_name(next(iter(metric.gives)), features)
            raise UserError(
                f"{name} needs at least {least} {side} images{why}, but there are "
                f"{min(real, generated)}; use more images, or leave {name} out of the metrics"
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
