"""The features of ``eval.features = "auto"``: Inception's where they can be had."""

import dataclasses
from pathlib import Path

from d3gan.config import EvalConfig
from d3gan.evaluation.features import inception_release
from d3gan.evaluation.features.names import AUTO
from d3gan.evaluation.metrics.names import check_evaluation, metric_names


def chosen(evaluation: EvalConfig, cache: Path, metric: str = "") -> tuple[EvalConfig, str]:
    """Return `evaluation` with features that can be had, and one line that says which and why.

    `cache` is the cache folder; `metric` is a metric that must exist if possible, beside those that
    `evaluation` names. Nothing is changed, and the line is "", unless the features are "auto".
    Raises UserError if no features give all metrics of `evaluation`.
    """
    if evaluation.features != AUTO:
        return evaluation, ""
    features, why = _choice(evaluation, cache, metric)
    evaluation = dataclasses.replace(evaluation, features=features)
    check_evaluation(evaluation)
    return evaluation, f"eval.features = {features}: {why}"


def _choice(evaluation: EvalConfig, cache: Path, metric: str) -> tuple[str, str]:
    """Return the name of the features, and why they are chosen."""
    for name in (*evaluation.metrics, evaluation.monitor, metric):
        if name not in ("", *metric_names("inception")):
            return "classifier", f"inception does not give {name}"
    if weights := evaluation.weights:
        if Path(weights).suffix == ".safetensors":
            return "classifier", f"the weights are {weights}"
        return "inception", f"the weights are {weights}"
    file = inception_release.cached_file(cache)
    if file.exists():
        return "inception", f"the weights are {file}"
    if why := inception_release.why_unreachable():
        return "classifier", (
            f"the weights of inception cannot be downloaded ({why}); for FID name their file, "
            "--eval.weights FILE"
        )
    return "inception", f"the weights can be downloaded from {inception_release.URL}"
