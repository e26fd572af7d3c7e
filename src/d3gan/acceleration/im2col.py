"""Convolutions as matrix products (im2col), for CPUs on which that is faster than the library.

The patches of an image become rows (Chellapilla, Puri and Simard 2006, "High performance
convolutional neural networks for document processing"), and one product with the weights computes
the convolution, forward and backward. Images and weights are channels-last, so a row of a patch is
contiguous and the weights are a matrix without a copy. Measurements: docs/roofline.md.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import pad
from torch.overrides import has_torch_function_unary

from d3gan.acceleration.products import onednn_product


def patches(images: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """Return the patches [B * h * w, kernel^2 C] of padded images [B, C, H, W]."""
    margins = (0, 0, padding, padding, padding, padding)
    last = images.permute(0, 2, 3, 1)
    windows = (pad(last, margins) if padding else last).unfold(1, kernel, stride)
    windows = windows.unfold(2, kernel, stride)  # [B, h, w, C, kernel, kernel]
    rows = windows.shape[0] * windows.shape[1] * windows.shape[2]
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(rows, -1)


def sum_patches(rows: Tensor, shape: "Shape") -> Tensor:
    """Return images [B, C, H, W]: the transpose of `patches`, which adds overlaps."""
    (batch, h, w), kernel, stride, padding = shape
    times = kernel // stride
    channels = rows.shape[1] // kernel**2
    windows = rows.view(batch, h, w, kernel, kernel, channels)
    if h == w == 1:
        padded = windows.clone().view(batch, 1, kernel, 1, kernel, channels)
    else:
        # Row s (y + a) + i of the padded image, 0 <= i < s, is row s a + i of the window at y.
        size = (batch, h + times - 1, stride, w + times - 1, stride, channels)
        # Overlaps are added in float32 at least, as the library does.
        padded = rows.new_zeros(size, dtype=torch.promote_types(rows.dtype, torch.float32))
        for a in range(times):
            for b in range(times):
                block = windows[:, :, :, _block(a, stride), _block(b, stride)]
                padded[:, a : a + h, :, b : b + w] += block.permute(0, 1, 3, 2, 4, 5)
    height, width = padded.shape[1] * padded.shape[2], padded.shape[3] * padded.shape[4]
    whole = padded.view(batch, height, width, channels)
    inner = whole[:, padding : height - padding, padding : width - padding]
    return inner.to(rows.dtype).contiguous().permute(0, 3, 1, 2)


def _block(number: int, size: int) -> slice:
    return slice(number * size, (number + 1) * size)


Shape = tuple[tuple[int, int, int], int, int, int]
"""(batch, rows and columns of windows), kernel, stride, padding."""

Product = Callable[[Tensor, Tensor], Tensor]
"""Differentiable product of two matrices."""


def _in_autocast_precision(images: Tensor) -> Tensor:
    """Return images in the type in which autocast multiplies them, before patches repeat them."""
    device = images.device.type
    if torch.is_autocast_enabled(device):
        return images.to(torch.get_autocast_dtype(device))
    return images


def _apply(function: type[Function], *inputs: Any) -> Tensor:
    return cast(Tensor, function.apply(*inputs))


class _Patches(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, shape: Shape) -> Tensor:
        ctx.shape = shape
        ctx.set_materialize_grads(False)
        return patches(images, *shape[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None]:
        if gradients[0] is None:  # nothing depends on the patches
            return None, None
        return _apply(_SumPatches, gradients[0], ctx.shape), None


class _SumPatches(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, shape: Shape) -> Tensor:
        ctx.shape = shape
        ctx.set_materialize_grads(False)
        return sum_patches(rows, shape).data

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None]:
        if gradients[0] is None:
            return None, None
        return _apply(_Patches, gradients[0], ctx.shape), None


class _Maps(Function):
    """rows [B h w, m] @ matrix [m, K] as maps [B, K, h, w], channels-last.

    One function, because a layer that works in place must not meet a view.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrix: Tensor, shape: Shape, product: Product) -> Tensor:
        ctx.save_for_backward(rows, matrix)
        ctx.product = product
        ctx.set_materialize_grads(False)
        return product(rows, matrix).view(*shape[0], -1).permute(0, 3, 1, 2).data  # no view

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        (maps,), (rows, matrix), product = gradients, ctx.saved_tensors, ctx.product
        if maps is None:
            return None, None, None, None
        gradient = maps.permute(0, 2, 3, 1).reshape(len(rows), -1)
        of_rows = product(gradient, matrix.T) if ctx.needs_input_grad[0] else None
        # Transposed, so that it is laid out in memory like the weights.
        of_matrix = product(gradient.T, rows).T if ctx.needs_input_grad[1] else None
        return of_rows, of_matrix, None, None


def _matrix(weight: Tensor) -> Tensor:
    """Return weights [K, C, k, k] as [K, k^2 C], without a copy if they are channels-last."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


class Im2colConv2d(nn.Conv2d):
    """A convolution, computed as a matrix product."""

    product = staticmethod(_matmul)

    def forward(self, input: Tensor) -> Tensor:
        kernel, stride, padding = _geometry(self)
        h, w = ((side + 2 * padding - kernel) // stride + 1 for side in input.shape[2:])
        covered = tuple((n - 1) * stride + kernel - 2 * padding for n in (h, w))
        if covered != tuple(input.shape[2:]) or has_torch_function_unary(input):
            # The library ignores the last rows or columns; RoundedProducts intercepts its call.
            return super().forward(input)
        shape = ((len(input), h, w), kernel, stride, padding)
        rows = _apply(_Patches, _in_autocast_precision(input), shape)
        matrix = _in_autocast_precision(_matrix(self.weight))
        return _with_bias(_apply(_Maps, rows, matrix.T, shape, self.product), self.bias)


class Im2colConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution, computed as a matrix product."""

    product = staticmethod(_matmul)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if has_torch_function_unary(input):
            return super().forward(input, output_size)
        kernel, stride, padding = _geometry(self)
        batch, channels, h, w = input.shape
        rows = self.product(input.permute(0, 2, 3, 1).reshape(-1, channels), _matrix(self.weight))
        maps = _apply(_SumPatches, rows, ((batch, h, w), kernel, stride, padding))
        return _with_bias(maps, self.bias)


def _with_bias(maps: Tensor, bias: Tensor | None) -> Tensor:
    return maps if bias is None else maps + bias.to(maps.dtype)[:, None, None]


class OnednnConv2d(Im2colConv2d):
    """The same with oneDNN's matrix product."""

    product = staticmethod(onednn_product)


class OnednnConvTranspose2d(Im2colConvTranspose2d):
    """The same with oneDNN's matrix product."""

    product = staticmethod(onednn_product)


def _geometry(module: nn.Module) -> tuple[int, int, int]:
    """Return kernel, stride and padding of a square layer."""
    assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    return module.kernel_size[0], module.stride[0], int(module.padding[0])


def fits(module: nn.Module) -> bool:
    """Return whether im2col can compute a layer: square, ungrouped, and its patches in blocks."""
    assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    square = all(
        not isinstance(sizes, str) and sizes[0] == sizes[1]
        for sizes in (module.kernel_size, module.stride, module.padding)
    )
    plain = (module.dilation, module.groups, module.padding_mode, module.output_padding) == (
        (1, 1),
        1,
        "zeros",
        (0, 0),
    )
    return square and plain and module.kernel_size[0] % module.stride[0] == 0
