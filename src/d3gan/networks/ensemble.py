"""N discriminators as one module."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.func import functional_call, vmap

Way = Literal["in turn", "stacked", "concurrent"]


class Ensemble(nn.Module):
    """Batches of images [B, C, H, W] -> logits [N, number of all images].

    Several batches go through in one call, each normalised by itself (DCGAN normalises real and
    generated images apart), so that a wrapper that reduces gradients sees one forward pass for
    each backward pass.
    """

    def __init__(self, discriminators: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(discriminators)
        self.way: Way = "in turn"
        """How the members are computed; the logits are the same but for rounding."""

    def __len__(self) -> int:
        return len(self.members)

    def forward(self, *batches: Tensor) -> Tensor:
        if self.way == "stacked":
            return torch.cat([self._stacked(images) for images in batches], dim=1)
        logits = self._concurrent(batches) if self.way == "concurrent" else self._in_turn(batches)
        frozen = not any(parameter.requires_grad for parameter in self.parameters())
        return cast(Tensor, _Rows.apply(frozen, *logits))  # type: ignore[no-untyped-call]

    def _in_turn(self, batches: Sequence[Tensor]) -> list[Tensor]:
        return [torch.cat([member(images) for images in batches]) for member in self.members]

    def _concurrent(self, batches: Sequence[Tensor]) -> list[Tensor]:
        """Each member on a CUDA stream of its own; its backward pass runs on the same one."""
        here = torch.cuda.current_stream()
        streams = [torch.cuda.Stream() for _ in self.members]
        logits = []
        for member, stream in zip(self.members, streams, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                logits.append(torch.cat([member(images) for images in batches]))
            for images in batches:
                images.record_stream(stream)
        for stream, row in zip(streams, logits, strict=True):
            here.wait_stream(stream)
            row.record_stream(here)
        return logits

    def _stacked(self, images: Tensor) -> Tensor:
        """One network whose weights have one axis more: N convolutions are one in groups."""
        named = [dict(member.named_parameters()) for member in self.members]
        weights = {name: torch.stack([each[name] for each in named]) for name in named[0]}

        def logits(weights_of_one: dict[str, Tensor]) -> Tensor:
            return cast(Tensor, functional_call(self.members[0], weights_of_one, (images,)))

        return vmap(logits)(weights)


class _Rows(Function):
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
