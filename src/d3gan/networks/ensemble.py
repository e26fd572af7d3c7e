"""N discriminators as one module."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Batches of images [B, C, H, W] -> logits [N, number of all images].

    Several batches go through in one call, each normalised by itself (DCGAN normalises real and
    generated images apart), so that a wrapper that reduces gradients sees one forward pass for
    each backward pass.
    """

    def __init__(self, discriminators: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(discriminators)

    def __len__(self) -> int:
        return len(self.members)

    def forward(self, *batches: Tensor) -> Tensor:
        return torch.stack(
            [torch.cat([member(images) for images in batches]) for member in self.members]
        )
