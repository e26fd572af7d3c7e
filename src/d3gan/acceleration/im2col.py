"""Convolutions as matrix products (im2col), for CPUs on which that is faster than the library.

The patches of an image become rows (Chellapilla, Puri and Simard 2006, "High performance
convolutional neural networks for document processing"), and one product with the weights computes
the convolution, forward and backward. Images and weights are channels-last, so a row of a patch is
contiguous and the weights are a matrix without a copy. Measurements: docs/roofline.md.
"""

from typing import Any, cast

from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import pad

KERNEL, STRIDE, PADDING = 4, 2, 1
"""Those of DCGAN's convolutions; layers with others use the library."""

SMALL_MAP = 4
"""Largest side of the smaller map for which the matrix product is used."""

FEW_CHANNELS = 4
"""Up to this number of image channels, it is used for maps of any size."""


def patches(images: Tensor) -> Tensor:
    """Return the patches [B * H/2 * W/2, 16 C] of padded images [B, C, H, W]."""
    height, width = images.shape[2] // STRIDE, images.shape[3] // STRIDE
    margins = (0, 0, PADDING, PADDING, PADDING, PADDING)
    windows = pad(images.permute(0, 2, 3, 1), margins).unfold(1, KERNEL, STRIDE)
    windows = windows.unfold(2, KERNEL, STRIDE)  # [B, H/2, W/2, C, 4, 4]
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(len(images) * height * width, -1)


def sum_patches(rows: Tensor, batch: int, height: int, width: int) -> Tensor:
    """Return images [batch, C, height, width]: the transpose of `patches`, which adds overlaps."""
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
        if gradients[0] is None:  # nothing depends on the patches
            return None
        batch, _, height, width = ctx.shape
        return _apply(_SumPatches, gradients[0], batch, height, width)


class _SumPatches(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, batch: int, height: int, width: int) -> Tensor:
        ctx.set_materialize_grads(False)
        return sum_patches(rows, batch, height, width)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        if gradients[0] is None:
            return None, None, None, None
        return _apply(_Patches, gradients[0]), None, None, None


def _matrix(weight: Tensor) -> Tensor:
    """Return weights [K, C, 4, 4] as [K, 16 C], without a copy if they are channels-last."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


class Im2colConv2d(nn.Conv2d):
    """A convolution, computed as a matrix product on small maps."""

    def forward(self, input: Tensor) -> Tensor:
        batch, channels, height, width = input.shape
        large = max(height, width) > STRIDE * SMALL_MAP and channels > FEW_CHANNELS
        if large or height % STRIDE or width % STRIDE:
            return super().forward(input)
        rows = _apply(_Patches, input) @ _matrix(self.weight).T
        maps = rows.view(batch, height // STRIDE, width // STRIDE, -1).permute(0, 3, 1, 2)
        return maps if self.bias is None else maps + self.bias[:, None, None]


class Im2colConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution, computed as a matrix product on small maps."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        batch, channels, height, width = input.shape
        if max(height, width) > SMALL_MAP and self.out_channels > FEW_CHANNELS:
            return super().forward(input, output_size)
        rows = input.permute(0, 2, 3, 1).reshape(-1, channels) @ _matrix(self.weight)
        size = (STRIDE * height, STRIDE * width)
        maps = _apply(_SumPatches, rows, batch, *size)
        return maps if self.bias is None else maps + self.bias[:, None, None]


IM2COL: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: Im2colConv2d,
    nn.ConvTranspose2d: Im2colConvTranspose2d,
}


def use_im2col(network: nn.Module) -> None:
    """Replace the classes of suitable convolutions in place; weights and names stay."""
    for module in network.modules():
        if type(module) in IM2COL and _fits(module):
            module.__class__ = IM2COL[type(module)]


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
