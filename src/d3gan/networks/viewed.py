"""A discriminator that sees a view of its images."""

import torch
from torch import Tensor, nn

from d3gan.networks.architecture import ImageShape
from d3gan.networks.ensemble import joins_batches
from d3gan.networks.views import View
from d3gan.rng import Stream, normal


class Viewed(nn.Module):
    """Images [B, C, H, W] -> logits [B] of `network`, which sees `view` of them.

    The fixed numbers of a view are a buffer, so that they follow the network to its device and
    discriminators with different numbers are never stacked. They are not saved, because the seed
    and the index `member` of the discriminator determine them.
    """

    fixed: Tensor | None

    def __init__(
        self, network: nn.Module, view: View, images: ImageShape, seed: int, member: int
    ) -> None:
        super().__init__()
        self.network, self.view = network, view
        count, fixed = view.draws(images), None
        if count:
            fixed = normal(seed, Stream.VIEW, member, torch.arange(count), 1)[:, 0].float()
        self.register_buffer("fixed", fixed, persistent=False)

    @property
    def joins_batches(self) -> bool:
        """See `networks.ensemble.joins_batches`."""
        return joins_batches(self.network)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        seen = self.view(images, self.fixed)
        parts = len(seen) // len(images)
        if labels is None:
            logits = self.network(seen)
        else:
            logits = self.network(seen, labels.repeat_interleave(parts))
        return logits.view(-1, parts).mean(dim=1)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"(view): {self.view!r}"
