"""Convolutions as matrix products, where that is faster than the library's own: on CPUs.

An image's patches are laid out as rows (im2col; Chellapilla, Puri and Simard 2006, "High
performance convolutional neural networks for document processing"), so that one product with the
weights does the rest, forwards and backwards. Images and weights lie channels-last, which makes a
row of a patch one run of memory and the weights a matrix as they are. What was measured, and why
the larger maps stay with the library: docs/roofline.md.
"""

from typing import Any, cast

from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import pad

KERNEL, STRIDE, PADDING = 4, 2, 1
"""Of all convolutions between maps in DCGAN; others are left to the library."""

SMALL_MAP = 4
"""Side of the smaller map up to which the matrix product was faster."""

FEW_CHANNELS = 4
"""Channels of an image, up to which it was faster on a map of any size."""


def patches(images: Tensor) -> Tensor:
    """Patches of images [B, C, H, W], padded: [B * H/2 * W/2, 16 C], by row, column, channel."""
    height, width = images.shape[2] // STRIDE, images.shape[3] // STRIDE
    margins = (0, 0, PADDING, PADDING, PADDING, PADDING)
    windows = pad(images.permute(0, 2, 3, 1), margins).unfold(1, KERNEL, STRIDE)
    windows = windows.unfold(2, KERNEL, STRIDE)  # [B, H/2, W/2, C, 4, 4]
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(len(images) * height * width, -1)


def added_up(rows: Tensor, batch: int, height: int, width: int) -> Tensor:
    """The transpose of `patches`: images [batch, C, height, width], overlaps added up."""
    h, w = height // STRIDE, width // STRIDE
    channels = rows.shape[1] // KERNEL**2
    windows = rows.view(batch, h, w, KERNEL, KERNEL, channels)
    # A padded row 2 (y + a) + i, for i of 0 and 1, is row 2 a + i of the window at y.
    padded = rows.new_zeros(batch, h + 1, STRIDE, w + 1, STRIDE, channels)
    for a in (0, 1):
        for b in (0, 1):
            part = windows[:, :, :, 2 * a : 2 * a + 2, 2 * b : 2 * b + 2]
            padded[:, a : a + h, :, b : b + w] += part.permute(0, 1, 3, 2, 4, 5)
    whole = padded.view(batch, height + 2, width + 2, channels)
    return whole[:, 1:-1, 1:-1].contiguous().permute(0, 3, 1, 2)


def _apply(function: type[Function], *inputs: Any) -> Tensor:
    return cast(Tensor, function.apply(*inputs))


class _Patches(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        ctx.shape = images.shape
        ctx.set_materialize_grads(False)
        return patches(images)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Tensor | None:
        if gradients[0] is None:  # nothing depends on them
            return None
        batch, _, height, width = ctx.shape
        return _apply(_AddedUp, gradients[0], batch, height, width)


class _AddedUp(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, batch: int, height: int, width: int) -> Tensor:
        ctx.set_materialize_grads(False)
        return added_up(rows, batch, height, width)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        if gradients[0] is None:
            return None, None, None, None
        return _apply(_Patches, gradients[0]), None, None, None


def _matrix(weight: Tensor) -> Tensor:
    """Weights [K, C, 4, 4] as [K, 16 C]; no copy if they lie channels-last."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


class Im2colConv2d(nn.Conv2d):
    """A convolution that is a matrix product on small maps."""

    def forward(self, input: Tensor) -> Tensor:
        batch, channels, height, width = input.shape
        large = max(height, width) > STRIDE * SMALL_MAP and channels > FEW_CHANNELS
        if large or height % STRIDE or width % STRIDE:
            return super().forward(input)
        rows = _apply(_Patches, input) @ _matrix(self.weight).T
        maps = rows.view(batch, height // STRIDE, width // STRIDE, -1).permute(0, 3, 1, 2)
        return maps if self.bias is None else maps + self.bias[:, None, None]


class Im2colConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution that is a matrix product on small maps."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        batch, channels, height, width = input.shape
        if max(height, width) > SMALL_MAP and self.out_channels > FEW_CHANNELS:
            return super().forward(input, output_size)
        rows = input.permute(0, 2, 3, 1).reshape(-1, channels) @ _matrix(self.weight)
        size = (STRIDE * height, STRIDE * width)
        maps = _apply(_AddedUp, rows, batch, *size)
        return maps if self.bias is None else maps + self.bias[:, None, None]


LOWERED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: Im2colConv2d,
    nn.ConvTranspose2d: Im2colConvTranspose2d,
}


def use_im2col(network: nn.Module) -> None:
    """Turn the network's convolutions into those above, in place: same weights, same names."""
    for module in network.modules():
        if type(module) in LOWERED and _fits(module):
            module.__class__ = LOWERED[type(module)]


def _fits(module: nn.Module) -> bool:
    assert isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
    wanted = ((KERNEL, KERNEL), (STRIDE, STRIDE), (PADDING, PADDING), (1, 1), 1, "zeros")
    return wanted == (
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.groups,
        module.padding_mode,
    )
