"""The list of feature extractors.

This module does not import torch, so that a configuration can be checked quickly. Each entry names
the function that loads the extractor when it is needed:
``load(argument, data, *, weights, folder, device) -> Features``.
"""

from d3gan.errors import UserError
from d3gan.registry import is_plugin, nearest

FEATURES = {
    "inception": "d3gan.evaluation.features.inception_weights:load",
    "classifier": "d3gan.evaluation.features.classifier_cache:load",
}


def names_plugin(features: str) -> bool:
    """Return whether `features` names a plugin. Names of the list have precedence over plugins, so
    ``classifier:cifar10`` is never a module."""
    return features.partition(":")[0] not in FEATURES and is_plugin(features)


def check_features(features: str) -> None:
    """Raise UserError unless `features` names an extractor of the list or a plugin."""
    family, _, argument = features.partition(":")
    if family == "inception" and not argument:
        return
    if family == "classifier" and (argument.strip() or features == family):
        return
    if names_plugin(features):
        return
    raise UserError(
        f"eval.features = {features!r}: must be inception, classifier, classifier:SOURCE or a "
        f"plugin module.path:Name{nearest(family, FEATURES)}"
    )
