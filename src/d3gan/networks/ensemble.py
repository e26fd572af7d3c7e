"""N discriminators as one module."""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function


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
        logits = [torch.cat([member(images) for images in batches]) for member in self.members]
        frozen = not any(parameter.requires_grad for parameter in self.parameters())
        return cast(Tensor, _Stacked.apply(frozen, *logits))  # type: ignore[no-untyped-call]


class _Stacked(Function):
    """torch.stack. On the way back, members that nothing depends on are left out: those that the
    generator does not face, and the others when one's gradient at its images is taken.

    Not where weights wait for gradients, as a missing one is not a gradient of zero to Adam; and
    on CPUs alone, as asking whether a gradient is zero makes other devices wait.
    """

    @staticmethod
    def forward(ctx: Any, frozen: bool, *logits: Tensor) -> Tensor:
        ctx.frozen = frozen
        return torch.stack(logits)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows = gradients[0].unbind()
        images_alone = ctx.frozen or torch.is_grad_enabled()  # the latter: create_graph, for R1
        if not (images_alone and gradients[0].device.type == "cpu"):
            return None, *rows
        needed = gradients[0].detach().any(dim=1).tolist()
        return None, *(
            row if it or not any(needed) else None for row, it in zip(rows, needed, strict=True)
        )
