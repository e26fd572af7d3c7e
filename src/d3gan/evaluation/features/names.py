"""The list of feature extractors; importing it does not import torch."""

from importlib.util import find_spec
from typing import Literal, NamedTuple

from d3gan.errors import UserError
from d3gan.registry import is_plugin, nearest


class Extractor(NamedTuple):
    """An extractor of the list."""

    load: str
    """``module:function`` that is imported when the extractor is needed, with the signature
    ``load(argument, data, *, weights, folder, device) -> Features``."""
    argument: str = ""
    """What may follow the name after a colon, for people; empty if nothing may."""
    scores: Literal["none", "other classes", "classes"] = "none"
    """Whether it gives class scores, and whether their classes describe the data."""
    extra: str = ""
    """Package that it needs, which d3gan[NAME] installs; empty if none."""


AUTO = "auto"
"""Value of ``eval.features`` that a new run replaces by features that can be had."""

FEATURES = {
    "inception": Extractor(
        "d3gan.evaluation.features.inception_weights:load", scores="other classes"
    ),
    "classifier": Extractor(
        "d3gan.evaluation.features.classifier_cache:load", "SOURCE", scores="classes"
    ),
    "dinov2": Extractor("d3gan.evaluation.features.dinov2:load", extra="transformers"),
}


def names_plugin(features: str) -> bool:
    """Return whether `features` names a plugin.

    Names of the list have precedence, so ``classifier:cifar10`` is never a module.
    """
    return features.partition(":")[0] not in FEATURES and is_plugin(features)


def class_scores(features: str) -> str:
    """Return the `scores` of the extractor that `features` names; others may have any."""
    extractor = FEATURES.get(features.partition(":")[0])
    return extractor.scores if extractor else "classes"


def check_features(features: str) -> None:
    """Raise UserError unless `features` names an extractor of the list or a plugin.

    The package that an extractor needs must be installed; it is not imported.
    """
    name, colon, argument = features.partition(":")
    if name in FEATURES and (not colon or (FEATURES[name].argument and argument.strip())):
        extra = FEATURES[name].extra
        if extra and find_spec(extra) is None:
            raise UserError(
                f"eval.features = {features!r}: needs {extra}: pip install 'd3gan[{name}]'"
            )
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
