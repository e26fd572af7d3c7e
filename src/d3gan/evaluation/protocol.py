"""The evaluation protocol: everything that a number depends on beside the generator."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from d3gan.errors import UserError

VERSION = 2
"""Increase it whenever the code of a metric or of an extractor computes something else.

2: without TF32 on CUDA. Together with it renew tests/golden/metrics.json.
"""

SELECTION_SEED = 0
"""Seed of the latents by which training selects a checkpoint; fixed, so that all runs are
comparable."""
REPORT_SEEDS = (1, 2, 3)
"""Seeds of the draws of latents on which the selected checkpoint is measured.

The best of many evaluations is too good on the draw that selected it.
"""


@dataclass(frozen=True)
class EvaluationProtocol:
    """Stored with every number, as plain values."""

    features: str
    """inception, dinov2, classifier:SOURCE or a plugin module.path:Name"""
    weights_sha256: str
    """SHA-256 of the extractor: of its file where it has one, otherwise of weights or plugin."""
    test_accuracy: float | None
    """Accuracy of a classifier on images that it was not trained on."""
    resize: str
    """What happens to an image before the network."""
    resolution: int
    """Side of the images compared, in pixels."""
    channels: int
    real_source: str
    real_split: str
    real_images: int
    """Number of real images."""
    real_sha256: str
    """SHA-256 of the real images' pixels."""
    generated_images: int
    """Number of generated images."""
    seed: int | None
    """Seed of the latents, of the first of several draws; None if images came from elsewhere."""
    ema: bool | None
    """Whether the generator's weights are a moving average; None if unknown."""
    classes: int | None = None
    """Number of classes of a conditional generator, 0 of an unconditional one; None if unknown."""
    training_command: str | None = None
    """Command that trains the classifier again, where its file names one."""
    tf32: bool = False
    """Whether CUDA may round the factors of products to TF32; never since version 2."""
    real_modes: int | None = None
    """Number of classes that the extractor finds among the real images; None if its classes do not
    describe them."""
    real_resized: bool | None = None
    """Whether real images were resized to the resolution; None if unknown."""
    real_revision: str | None = None
    """Commit of the hub's data set; None for local images."""
    version: int = VERSION

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)


NOT_COMPARED = (
    *("test_accuracy", "training_command", "real_source", "real_split"),
    *("real_modes", "real_resized", "real_revision"),
)
"""Fields that follow from a hash among the others, or are another name of the same images."""
MAY_BE_UNKNOWN = ("seed", "ema", "classes")


def difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return the first field in which two protocols differ so that their numbers are not
    comparable, with its values in both; None if they are comparable.

    `a` and `b` are results of `EvaluationProtocol.to_dict`. A seed, moving average or number of
    classes that is unknown on one side is no difference. Versions are compared first: an older one
    lacks fields. At first `classes` was not stored: all generators were unconditional.
    """
    for key in ["version", *(field.name for field in dataclasses.fields(EvaluationProtocol))]:
        default = 0 if key == "classes" else None
        first, second = a.get(key, default), b.get(key, default)
        unknown = key in MAY_BE_UNKNOWN and None in (first, second)
        # A classifier is named by its data, whose place may change; its weights say which it is.
        renamed = key == "features" and _are_one_classifier(a, b)
        if first != second and key not in NOT_COMPARED and not unknown and not renamed:
            return key, first, second
    return None


def _are_one_classifier(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    named = all(str(each.get("features")).startswith("classifier:") for each in (a, b))
    return named and a.get("weights_sha256") == b.get("weights_sha256") is not None


def check_comparable(a: Mapping[str, Any], b: Mapping[str, Any], names: tuple[str, str]) -> None:
    """Raise UserError, naming the difference, unless numbers of two protocols are comparable.

    `names` say what the protocols belong to.
    """
    if found := difference(a, b):
        key, first, second = found
        raise UserError(
            f"{names[0]} and {names[1]} cannot be compared: their metrics differ in {key} "
            f"({first} and {second}); evaluate both alike with d3gan evaluate, or continue "
            "training without evaluations: --eval.every-epochs 0"
        )
