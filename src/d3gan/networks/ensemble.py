"""N discriminators as one module."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.func import functional_call, vmap

from d3gan.networks.norms import separate_statistics

Way = Literal["sequential", "stacked", "concurrent"]


class Ensemble(nn.Module):
    """Batches of images [B, C, H, W] -> logits [N, sum of all B].

    Several batches go through in one call, each normalised separately (DCGAN normalises real and
    generated images apart), so that a wrapper that reduces gradients sees one forward pass for
    each backward pass. A batch [N, B, C, H, W] holds other images for each member. `labels` [B] are
    those of every batch. `only` are the numbers of the members to compute, in increasing order,
    instead of all; or the number int64 [1] of one of them on the device, if they are alike.
    """

    def __init__(self, discriminators: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(discriminators)
        self.way: Way = "sequential"
        """How the members are computed; the logits differ by rounding only. Stacked members share
        one call where they are alike and have no buffers."""
        self.join = False
        """Whether a member computes several batches as one, with separate statistics of its batch
        norms, where it can (`joins_batches`). The logits differ by rounding only."""

    def __len__(self) -> int:
        return len(self.members)

    def forward(
        self,
        *batches: Tensor,
        labels: Tensor | None = None,
        only: Sequence[int] | Tensor | None = None,
    ) -> Tensor:
        if isinstance(only, Tensor):
            return self._chosen(only, batches, labels)
        numbers = range(len(self)) if only is None else only
        if self.way == "stacked" and len(numbers) > 1:
            return self._stacked(numbers, batches, labels)
        compute = self._concurrent if self.way == "concurrent" else self._sequential
        frozen = not any(parameter.requires_grad for parameter in self.parameters())
        logits = compute(numbers, _by_member(batches, numbers), labels)
        return cast(Tensor, _Rows.apply(frozen, *logits))  # type: ignore[no-untyped-call]

    def _sequential(
        self, numbers: Sequence[int], batches: Sequence[Sequence[Tensor]], labels: Tensor | None
    ) -> list[Tensor]:
        return [self._logits(k, own, labels) for k, own in zip(numbers, batches, strict=True)]

    def _concurrent(
        self, numbers: Sequence[int], batches: Sequence[Sequence[Tensor]], labels: Tensor | None
    ) -> list[Tensor]:
        """Compute each member on its own CUDA stream; its backward pass runs on the same one."""
        here = torch.cuda.current_stream()
        streams = [torch.cuda.Stream() for _ in numbers]
        logits = []
        for k, own, stream in zip(numbers, batches, streams, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                logits.append(self._logits(k, own, labels))
            for images in own:
                images.record_stream(stream)
        for stream, row in zip(streams, logits, strict=True):
            here.wait_stream(stream)
            row.record_stream(here)
        return logits

    def _logits(self, k: int, batches: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the logits [sum of all B] of member k."""
        member, sizes = self.members[k], {len(images) for images in batches}
        if self.join and len(batches) > 1 and len(sizes) == 1 and joins_batches(member):
            parts = len(batches)
            labels = None if labels is None else labels.repeat(parts)
            with separate_statistics(member, parts):
                return _call(member, torch.cat(list(batches)), labels)
        return torch.cat([_call(member, images, labels) for images in batches])

    def _chosen(self, number: Tensor, batches: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the logits [1, sum of all B] of a member whose number only the device knows."""
        named = [dict(member.named_parameters()) for member in self.members]
        weights = {
            name: torch.stack([each[name] for each in named]).index_select(0, number)[0]
            for name in named[0]
        }
        own = [images.index_select(0, number)[0] if _of_each_member(images) else images
               for images in batches]  # fmt: skip
        inputs = () if labels is None else (labels,)
        logits = [functional_call(self.members[0], weights, (x, *inputs)) for x in own]
        return torch.cat(logits)[None]

    def are_alike(self) -> bool:
        """Return whether all members are the same network without buffers, with other weights."""
        return len(self._alike(range(len(self)))) == 1

    def _stacked(
        self, numbers: Sequence[int], batches: Sequence[Tensor], labels: Tensor | None
    ) -> Tensor:
        rows: dict[int, Tensor] = {}
        for alike in self._alike(numbers):
            members = [self.members[k] for k in alike]
            if len(members) == 1:
                ((k,), (own,)) = alike, _by_member(batches, alike)
                rows[k] = self._logits(k, own, labels)
            else:
                inputs = [x[alike] if _of_each_member(x) else x for x in batches]
                rows |= zip(alike, _stacked_logits(members, inputs, labels), strict=True)
        return torch.stack([rows[k] for k in numbers])

    def _alike(self, numbers: Iterable[int]) -> list[list[int]]:
        """Return the members' numbers in groups that one stacked call can compute."""
        groups: dict[object, list[int]] = {}
        for k in numbers:
            member = self.members[k]
            buffered = next(member.buffers(), None) is not None
            # Two networks with the same text have the same layers and options.
            kind = k if buffered else (type(member), repr(member), _shapes(member))
            groups.setdefault(kind, []).append(k)
        return list(groups.values())


def _shapes(network: nn.Module) -> tuple[torch.Size, ...]:
    return tuple(parameter.shape for parameter in network.parameters())


def _of_each_member(images: Tensor) -> bool:
    """Return whether a batch is [N, B, C, H, W]: other images for each member."""
    return images.dim() == 5


def _by_member(batches: Sequence[Tensor], numbers: Sequence[int]) -> list[list[Tensor]]:
    """Return the batches [B, C, H, W] of each of the members `numbers`."""
    # unbind, because the gradients of all members are stacked once on the way back.
    each = [images.unbind() if _of_each_member(images) else None for images in batches]
    return [
        [images if own is None else own[k] for images, own in zip(batches, each, strict=True)]
        for k in numbers
    ]


def joins_batches(discriminator: nn.Module) -> bool:
    """Return whether several batches may be computed as one.

    That is so if images depend on each other through the layers of `norms` only, as the class of a
    discriminator states by an attribute of this name, and if a forward pass changes no buffer.
    """
    stated = getattr(discriminator, "joins_batches", False)
    return bool(stated) and next(discriminator.buffers(), None) is None


def _call(member: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
    logits: Tensor = member(images) if labels is None else member(images, labels)
    return logits


def _stacked_logits(
    members: Sequence[nn.Module], batches: Sequence[Tensor], labels: Tensor | None
) -> Tensor:
    """Compute one network whose weights have one axis more: n convolutions become one in groups."""
    named = [dict(member.named_parameters()) for member in members]
    weights = {name: torch.stack([each[name] for each in named]) for name in named[0]}

    def logits(weights_of_one: dict[str, Tensor], images: Tensor) -> Tensor:
        inputs = (images,) if labels is None else (images, labels)
        return cast(Tensor, functional_call(members[0], weights_of_one, inputs))

    def stacked(images: Tensor) -> Tensor:
        of_each = 0 if _of_each_member(images) else None
        return vmap(logits, in_dims=(0, of_each))(weights, images)

    return torch.cat([stacked(images) for images in batches], dim=1)


class _Rows(Function):
    """torch.stack that skips members without gradient on the way back.

    These are the discriminators that the generator does not face, and the others when one's
    gradient at its images is taken. It does not apply while parameters collect gradients, because
    a missing gradient is not a zero gradient to Adam, nor on other devices than CPUs, because
    testing a gradient for zero makes them wait.
    """

    @staticmethod
    def forward(ctx: Any, frozen: bool, *logits: Tensor) -> Tensor:
        ctx.frozen = frozen
        return torch.stack(logits)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows = gradients[0].unbind()
        # Gradients are recorded during the backward pass for penalties (create_graph).
        images_only = ctx.frozen or torch.is_grad_enabled()
        if not (images_only and gradients[0].device.type == "cpu"):
            return None, *rows
        needed = gradients[0].detach().any(dim=1).tolist()
        return None, *(
            row if it or not any(needed) else None for row, it in zip(rows, needed, strict=True)
        )
