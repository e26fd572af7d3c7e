"""The list of feature extractors; importing it does not import torch."""

from typing import NamedTuple

from d3gan.errors import UserError
from d3gan.registry import is_plugin, nearest


class Extractor(NamedTuple):
    """An extractor of the list."""

    load: str
    """``module:function`` that is imported when the extractor is needed, with the signature
    ``load(argument, data, *, weights, folder, device) -> Features``."""
    argument: str = ""
    """What may follow the name after a colon, for people; empty if nothing may."""


FEATURES = {
    "inception": Extractor("d3gan.evaluation.features.inception_weights:load"),
    "classifier": Extractor("d3gan.evaluation.features.classifier_cache:load", "SOURCE"),
}


def names_plugin(features: str) -> bool:
    """Return whether `features` names a plugin.

    Names of the list have precedence, so ``classifier:cifar10`` is never a module.
    """
    return features.partition(":")[0] not in FEATURES and is_plugin(features)


def check_features(features: str) -> None:
    """Raise UserError unless `features` names an extractor of the list or a plugin."""
    name, colon, argument = features.partition(":")
    if name in FEATURES and (not colon or (FEATURES[name].argument and argument.strip())):
        return
    if not names_plugin(features):
        forms = ", ".join(
            f"{name}, {name}:{entry.argument}" if entry.argument else name
            for name, entry in FEATURES.items()
        )
        raise UserError(
            f"eval.features = {features!r}: must be {forms} or a plugin module.path:Name"
            f"{nearest(name, FEATURES)}"
        )
