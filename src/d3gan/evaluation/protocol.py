"""What a number depends on beside the generator, and when two numbers may be compared."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from d3gan.errors import UserError

VERSION = 1
"""To be raised whenever the code of a metric or of its features computes something else."""


@dataclass(frozen=True)
class EvaluationProtocol:
    """Stored beside every number, as plain values."""

    features: str
    """inception or classifier:SOURCE"""
    weights_sha256: str
    """Of the features' network: SHA-256 of its file (inception) or its weights."""
    test_accuracy: float | None
    """Of a classifier, on images it was not trained on."""
    resize: str
    """What happens to an image before the network."""
    resolution: int
    """Side of the images compared, pixels."""
    channels: int
    real_source: str
    real_split: str
    real_images: int
    real_sha256: str
    """Of the real images' pixels."""
    generated_images: int
    seed: int | None
    """Of the latents; none if the images came from elsewhere."""
    ema: bool | None
    """Whether the generator's weights are a moving average; none if not known."""
    version: int = VERSION

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


NOT_COMPARED = ("test_accuracy", "real_source", "real_split")
"""Follow from the hash beside them, or name the same images otherwise."""


def check_comparable(a: Mapping[str, Any], b: Mapping[str, Any], names: tuple[str, str]) -> None:
    """Raise UserError, naming the difference, unless numbers of two contracts may be compared.

    `a` and `b` are what `EvaluationProtocol.to_dict` returns; `names` say whose they are. A seed
    or average that is not known on one side is no difference.
    """
    for key in [field.name for field in dataclasses.fields(EvaluationProtocol)]:
        first, second = a.get(key), b.get(key)
        unknown = key in ("seed", "ema") and None in (first, second)
        if first != second and key not in NOT_COMPARED and not unknown:
            raise UserError(
                f"{names[0]} and {names[1]} cannot be compared: their metrics differ in {key} "
                f"({first} and {second}); evaluate both alike with d3gan evaluate, or train on "
                "without evaluations: --eval.every-epochs 0"
            )
