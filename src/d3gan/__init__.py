"""Train, measure and compare GANs with one, two (D3GAN) or N discriminators.

`d3gan.load("runs/NAME").sample(64, seed=0)` returns images. The command line (`d3gan --help`) does
everything else.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from d3gan.training.inference import TrainedGenerator

__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> "TrainedGenerator":
    """The generator of a run folder or of a .safetensors export, ready to sample.

    ``d3gan.load("runs/demo-d3gan").sample(64, seed=0)`` -> images [64, C, H, W] in [0, 1].
    Raises d3gan.errors.UserError if there is none.
    """
    from d3gan.training import inference  # torch takes seconds to import; `import d3gan` does not

    return inference.load(path)
