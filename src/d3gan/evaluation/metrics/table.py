"""All metrics, and the names of their numbers."""

from d3gan.errors import UserError
from d3gan.evaluation.metrics.estimate import Better, Estimate, Metric
from d3gan.evaluation.metrics.frechet import FRECHET
from d3gan.evaluation.metrics.inception_score import SCORE
from d3gan.evaluation.metrics.kernel import KERNEL
from d3gan.evaluation.metrics.modes import MODES
from d3gan.evaluation.metrics.precision_recall import PRECISION_RECALL
from d3gan.evaluation.statistics import Statistics
from d3gan.registry import nearest

METRICS: tuple[Metric, ...] = (
    FRECHET,
    SCORE,
    KERNEL,
    PRECISION_RECALL,
    MODES,
)

INCEPTION_NAMES = {"fd": "fid", "cs": "is"}
"""What numbers are called when, and only when, the features are Inception's."""


def names(features: str) -> dict[str, Better]:
    """The numbers that the features called `features` give, and which way is better."""
    return {
        _name(number, features): better
        for metric in METRICS
        if _fits(metric, features)
        for number, better in metric.gives.items()
    }


def check_names(asked: tuple[str, ...], features: str) -> tuple[str, ...]:
    """The names asked for, or all if none are. Raises UserError for one that does not fit."""
    allowed = list(names(features))
    for name in asked:
        if name not in allowed:
            renamed = {**INCEPTION_NAMES, **{new: old for old, new in INCEPTION_NAMES.items()}}
            right = f" (it is {renamed[name]})" if renamed.get(name) in allowed else ""
            raise UserError(
                f"'{name}' is no metric of {features} features"
                f"{right or nearest(name, allowed)}; allowed: {', '.join(allowed)}"
            )
    return tuple(name for name in allowed if name in asked or not asked)


def stores_features(asked: tuple[str, ...], features: str) -> bool:
    """Whether one of the numbers needs the features of each image."""
    return any(metric.stores_features for metric in _metrics(asked, features))


def check_counts(
    asked: tuple[str, ...],
    features: str,
    *,
    real: int,
    generated: int,
    dimensions: int,
    allow_few: bool = False,
) -> None:
    """Raise UserError if one of the numbers means nothing from so few images.

    `allow_few` lets pass a covariance of fewer images than features, which is singular and makes
    the distance too large.
    """
    for metric in _metrics(asked, features):
        least, why = metric.least_images, ""
        if metric.needs_covariance and not allow_few:
            least, why = dimensions + 1, f" for the covariance of {dimensions} features"
        if min(real, generated) < least:
            side = "generated" if generated < least else "real"
            name = _name(next(iter(metric.gives)), features)
            raise UserError(
                f"{name} needs at least {least} {side} images{why}, and there are "
                f"{min(real, generated)}; take more, or leave {name} out of the metrics"
            )


def compute(
    real: Statistics,
    generated: Statistics,
    asked: tuple[str, ...],
    features: str,
    *,
    allow_few: bool = False,
) -> dict[str, Estimate]:
    """The numbers asked for, in the order of the table. Raises UserError as `check_counts`."""
    check_counts(
        asked,
        features,
        real=real.count,
        generated=generated.count,
        dimensions=len(real.moments.sum),
        allow_few=allow_few,
    )
    numbers: dict[str, Estimate] = {}
    for metric in _metrics(asked, features):
        computed = metric.compute(real, generated)
        numbers |= {_name(number, features): estimate for number, estimate in computed.items()}
    return {name: numbers[name] for name in asked}


def _metrics(asked: tuple[str, ...], features: str) -> list[Metric]:
    return [
        metric
        for metric in METRICS
        if any(_name(number, features) in asked for number in metric.gives)
    ]


def _fits(metric: Metric, features: str) -> bool:
    return features != "inception" or not metric.needs_labels


def _name(number: str, features: str) -> str:
    return INCEPTION_NAMES.get(number, number) if features == "inception" else number
