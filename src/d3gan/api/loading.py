"""Load a trained generator."""

from typing import TYPE_CHECKING

from d3gan.api.arguments import StrPath

if TYPE_CHECKING:
    from d3gan.training.generator import TrainedGenerator


def load(source: StrPath, checkpoint: str | int = "last") -> "TrainedGenerator":
    """Return a trained generator, on the CPU.

    Args:
        source: A run or its folder, a .safetensors file of `d3gan export`, or
            ``hf://owner/name[@revision]`` of the Hugging Face hub.
        checkpoint: Checkpoint of a run: "last" (the newest that is not damaged), "best" (by the
            monitored metric) or a step.

    Raises:
        UserError: If there is no such generator, or if its file is damaged.
    """
    from d3gan.training import inference  # imports torch

    return inference.load(source, str(checkpoint))
