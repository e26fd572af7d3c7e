"""DINOv2 ViT-L/14, for FD-DINOv2.

Network: Oquab et al. 2023, "DINOv2: learning robust visual features without supervision". Metric:
Stein et al. 2023, "Exposing flaws of generative model evaluation metrics and their unfair treatment
of diffusion models", and its program dgm-eval: Pillow's bicubic resize of 8-bit images to 224
pixels, the normalisation of ImageNet, and the class token after the last layer norm.
"""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from d3gan import hub
from d3gan.config import DataConfig
from d3gan.errors import UserError
from d3gan.evaluation.features.extractor import Features, weights_sha256

REPOSITORY = "facebook/dinov2-large"
REVISION = "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c"
FILES = {
    "config.json": "12df51c069a2dc1305e34ba71ef58bc2407ea553b75f4722a1715c1bce3bbed0",
    "model.safetensors": "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23",
}
"""SHA-256 of each file at that revision, 1.2 GB together."""

SIDE = 224
MEAN = (0.485, 0.456, 0.406)
STANDARD_DEVIATION = (0.229, 0.224, 0.225)
POSITION_OFFSET = 0.1
"""Added to the number of patches when the position embeddings are resized, as in the authors'
program (interpolate_offset in dinov2/hub/backbones.py), but not in transformers."""


class DinoV2(nn.Module):
    """Maps uint8 images [B, 1 or 3, H, W] to features [B, D] of `model`, a Dinov2Model."""

    mean: Tensor
    standard_deviation: Tensor

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        embeddings: Any = model.embeddings
        patches = SIDE // embeddings.patch_size
        resized = resized_positions(embeddings.position_embeddings, patches)
        # With as many positions as patches, transformers does not resize them itself.
        embeddings.position_embeddings = nn.Parameter(resized)
        self.dimensions = resized.shape[2]
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("standard_deviation", torch.tensor(STANDARD_DEVIATION).view(3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        x = pillow_bicubic(images).to(self.mean.device) / 255
        x = (x - self.mean) / self.standard_deviation
        return self.model(x).last_hidden_state[:, 0], None


def pillow_bicubic(images: Tensor, side: int = SIDE) -> Tensor:
    """Return uint8 images [B, C, H, W] resized to [B, C, side, side] by Pillow, on the CPU.

    Pillow's filter is antialiased, and its results are rounded to 8 bits.
    """
    resized = [
        np.asarray(Image.fromarray(channel).resize((side, side), Image.Resampling.BICUBIC))
        for channel in images.flatten(0, 1).cpu().numpy()
    ]
    return torch.from_numpy(np.stack(resized)).view(*images.shape[:2], side, side)


def resized_positions(positions: Tensor, side: int) -> Tensor:
    """Return position embeddings [1, 1 + M * M, D] as [1, 1 + side * side, D], bicubic.

    The first one, of the class token, is kept.
    """
    old = math.isqrt(positions.shape[1] - 1)
    grid = positions.detach()[:, 1:].unflatten(1, (old, old)).permute(0, 3, 1, 2)
    scale = (side + POSITION_OFFSET) / old
    grid = functional.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([positions.detach()[:, :1], grid.flatten(2).transpose(1, 2)], 1)


def load(
    argument: str, data: DataConfig, *, weights: str, folder: Path, device: torch.device
) -> Features:
    """Return the DINOv2 features; `weights` is a local folder of `FILES`, or "": the hub's.

    Raises UserError.
    """
    place = Path(weights).expanduser() if weights else _downloaded()
    for name, expected in FILES.items():
        _check(place / name, expected)
    network = DinoV2(_read_model(place)).eval().requires_grad_(False)
    return Features(
        "dinov2",
        network,
        network.dimensions,
        classes=0,
        weights_sha256=FILES["model.safetensors"],
        resize=f"Pillow bicubic to {SIDE}",
        batch_size=32,
    )


def _downloaded() -> Path:
    """Return the folder of the files in the hub client's cache, downloaded if it is missing."""
    try:
        return hub.download(REPOSITORY, REVISION, list(FILES))
    except UserError as error:
        raise UserError(
            f"{error}; either download {' and '.join(FILES)} on a machine with a network and name "
            "their folder (--eval.weights PATH; evaluate: --weights PATH), or choose classifier "
            "features (--features classifier)"
        ) from error


def _check(file: Path, expected: str) -> None:
    """Raise UserError unless the file's SHA-256 is the expected one."""
    digest = weights_sha256(file, "DINOv2")
    if digest != expected:
        raise UserError(
            f"{file} is not that of {REPOSITORY}: its SHA-256 is {digest[:16]}..., not "
            f"{expected[:16]}...; download it again, revision {REVISION}"
        )


def _read_model(folder: Path) -> nn.Module:
    """Return the Dinov2Model in a folder, in float32. Raises UserError if weights do not fit."""
    from transformers import Dinov2Model
    from transformers.utils import logging

    logging.disable_progress_bar()
    model: nn.Module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of transformers' own code
        model, found = Dinov2Model.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    if wrong := {key: names for key, names in found.items() if names}:
        raise UserError(f"the weights in {folder} do not fit their configuration: {wrong}")
    return model.float()
