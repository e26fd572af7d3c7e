"""The list of metrics: their names, which direction is better, and what they need.

This module does not import torch, so that a configuration can be checked quickly. Each entry names
the module beside this one whose function ``compute(real, generated)`` returns the numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from d3gan.errors import UserError
from d3gan.evaluation.features.names import AUTO, check_features, class_scores
from d3gan.registry import nearest

if TYPE_CHECKING:
    from d3gan.config import EvalConfig

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Metric:
    """Numbers that one function computes from the statistics of real and generated images."""

    module: str
    """Name of the module in this folder."""
    gives: dict[str, Better]
    """The numbers by name, and which direction is better."""
    stores_features: bool = False
    """Whether the features of every image are needed, not only their sums."""
    needs_covariance: bool = False
    """Whether the metric is undefined for fewer images than features."""
    least_images: int = 2
    """Smallest number of images on either side."""
    needs: Literal["features", "logits", "classes", "labels"] = "features"
    """Whether the metric needs an extractor with logits, one whose classes describe the data, or
    one of the data's own labels and a conditional generator."""


METRICS = (
    Metric("frechet", {"fd": "lower"}, needs_covariance=True),
    Metric("inception_score", {"cs": "higher"}, needs="logits"),
    Metric("kernel", {"kd": "lower"}, stores_features=True, least_images=20),
    Metric(
        "precision_recall",
        {"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"},
        stores_features=True,
        least_images=6,
    ),
    Metric(
        "modes", {"modes": "higher", "kl_uniform": "lower", "kl_data": "lower"}, needs="classes"
    ),
    Metric("label_agreement", {"label_agreement": "higher"}, needs="labels"),
)

COUNTS = frozenset({"modes"})
"""Numbers that count something: between two evaluations a count keeps its value."""

INCEPTION_NAMES = {"fd": "fid", "cs": "is", "kd": "kid"}
"""Names of numbers when, and only when, the features are those of the 2015 Inception network."""

GIVEN = {
    "none": ("features",),
    "other classes": ("features", "logits"),
    "classes": ("features", "logits", "classes", "labels"),
}
"""What metrics may need, for each `class_scores` of an extractor."""


def metric_names(features: str) -> dict[str, Better]:
    """Return the numbers that exist with `features` (``eval.features``) and their directions.

    Some need more than a name can show: see `available`. With "auto" they are those of either
    choice.
    """
    if features == AUTO:
        return metric_names("inception") | metric_names("classifier")
    return {
        shown_name(number, features): better
        for metric in METRICS
        if metric.needs in GIVEN[class_scores(features)]
        for number, better in metric.gives.items()
    }


def check_names(asked: tuple[str, ...], features: str) -> tuple[str, ...]:
    """Return `asked` in the order of the list, or all names if `asked` is empty.

    Raises UserError for a name that `features` do not give.
    """
    allowed = list(metric_names(features))
    for name in asked:
        if name not in allowed:
            raise UserError(
                f"'{name}' is not a metric of {features.partition(':')[0]} features"
                f"{right_name(name, allowed)}; allowed: {', '.join(allowed)}"
            )
    return tuple(name for name in allowed if name in asked or not asked)


def right_name(name: str, allowed: Sequence[str]) -> str:
    """Return `` (it is kd)`` for a name that the number has with other features, or a guess."""
    renamed = {**INCEPTION_NAMES, **{new: old for old, new in INCEPTION_NAMES.items()}}
    right = renamed.get(name)
    return f" (it is {right})" if right in allowed else nearest(name, list(allowed))


def available(
    asked: tuple[str, ...], features: str, *, classes: int, labels: bool
) -> tuple[str, ...]:
    """Return the numbers to compute: those `asked`, or if it is empty all that can be computed.

    `classes` is the number of the extractor's classes (0 without logits); `labels` says whether the
    generator is conditional and the extractor's classes are its labels. Raises UserError if a
    number that is asked for cannot be computed.
    """
    missing = {}
    if not classes:
        missing = dict.fromkeys(("logits", "classes"), f"class scores, which {features} lacks")
    if not labels:
        missing["labels"] = "a conditional generator and a classifier of the data's own labels"
    names = check_names(asked, features)
    for metric in metrics_for(names, features):
        if metric.needs in missing:
            numbers = [shown_name(number, features) for number in metric.gives]
            if here := [name for name in asked if name in numbers]:
                raise UserError(f"'{here[0]}' needs {missing[metric.needs]}")
            names = tuple(name for name in names if name not in numbers)
    return names


def check_evaluation(evaluation: "EvalConfig") -> None:
    """Raise UserError if the keys of ``eval`` contradict each other or name something unknown."""
    if evaluation.features != AUTO:
        check_features(evaluation.features)
    try:
        metrics = check_names(evaluation.metrics, evaluation.features)
    except UserError as error:
        raise UserError(f"eval.metrics = {list(evaluation.metrics)}: {error}") from error
    if evaluation.monitor not in ("", *metrics):
        raise UserError(
            f"eval.monitor = {evaluation.monitor!r}: must be one of the metrics "
            f"({', '.join(metrics)}){nearest(evaluation.monitor, list(metrics))}"
        )
    if evaluation.patience and not evaluation.every_epochs:
        raise UserError(f"eval.patience = {evaluation.patience}: needs eval.every_epochs above 0")


def metrics_for(asked: tuple[str, ...], features: str) -> list[Metric]:
    """Return the entries of the list that compute the numbers `asked`."""
    return [
        metric
        for metric in METRICS
        if any(shown_name(number, features) in asked for number in metric.gives)
    ]


def shown_name(number: str, features: str) -> str:
    """Return the name under which `number` is reported for these features."""
    return INCEPTION_NAMES.get(number, number) if features == "inception" else number
