"""3x3 convolutions whose second derivatives are as fast as their first.

A gradient penalty differentiates the gradient of a convolution. torch computes that second
derivative group by group, and the part with respect to the weights as a convolution whose kernel is
as large as the image. But a convolution is linear in its input and linear in its weights, so every
derivative of any order is one of three products: the convolution, its transpose, and the
correlation of its input with its output.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional
from torch.overrides import has_torch_function_unary

KERNEL, STRIDE, PADDING = 3, 1, 1


def _convolve(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    return cast(Tensor, _Convolve.apply(x, weight, groups))  # type: ignore[no-untyped-call]


def _transpose(y: Tensor, weight: Tensor, groups: int) -> Tensor:
    return cast(Tensor, _Transpose.apply(y, weight, groups))  # type: ignore[no-untyped-call]


def _correlate(x: Tensor, y: Tensor, groups: int) -> Tensor:
    return cast(Tensor, _Correlate.apply(x, y, groups))  # type: ignore[no-untyped-call]


class _Product(Function):
    """A product of two tensors. `ctx.needs_input_grad` says which of them need a gradient."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        one, other, ctx.groups = inputs
        ctx.save_for_backward(one, other)
        ctx.set_materialize_grads(False)


class _Convolve(_Product):
    """x [B, C, H, W], weight [K, C / groups, 3, 3] -> y [B, K, H, W]."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, groups: int) -> Tensor:
        return functional.conv2d(x, weight, padding=PADDING, groups=groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, Tensor | None, None]:
        (y,), (x, weight) = gradients, ctx.saved_tensors
        if y is None:
            return None, None, None
        of_x = _transpose(y, weight, ctx.groups) if ctx.needs_input_grad[0] else None
        of_weight = _correlate(x, y, ctx.groups) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, None


class _Transpose(_Product):
    """y [B, K, H, W], weight [K, C / groups, 3, 3] -> x [B, C, H, W]."""

    @staticmethod
    def forward(y: Tensor, weight: Tensor, groups: int) -> Tensor:
        return functional.conv_transpose2d(y, weight, padding=PADDING, groups=groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, Tensor | None, None]:
        (x,), (y, weight) = gradients, ctx.saved_tensors
        if x is None:
            return None, None, None
        of_y = _convolve(x, weight, ctx.groups) if ctx.needs_input_grad[0] else None
        of_weight = _correlate(x, y, ctx.groups) if ctx.needs_input_grad[1] else None
        return of_y, of_weight, None


class _Correlate(_Product):
    """x [B, C, H, W], y [B, K, H, W] -> weight [K, C / groups, 3, 3]."""

    @staticmethod
    def forward(x: Tensor, y: Tensor, groups: int) -> Tensor:
        weight = y.new_empty((y.shape[1], x.shape[1] // groups, KERNEL, KERNEL))  # for its shape
        stride, padding, dilation = [STRIDE] * 2, [PADDING] * 2, [1, 1]
        rest = (stride, padding, dilation, False, [0, 0], groups, [False, True, False])
        return cast(Tensor, torch.ops.aten.convolution_backward(y, x, weight, None, *rest)[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, Tensor | None, None]:
        (weight,), (x, y) = gradients, ctx.saved_tensors
        if weight is None:
            return None, None, None
        of_x = _transpose(y, weight, ctx.groups) if ctx.needs_input_grad[0] else None
        of_y = _convolve(x, weight, ctx.groups) if ctx.needs_input_grad[1] else None
        return of_x, of_y, None


class TwiceDifferentiatedConv2d(nn.Conv2d):
    """A convolution of 3x3 pixels, stride 1."""

    def forward(self, input: Tensor) -> Tensor:
        if has_torch_function_unary(input):  # RoundedProducts intercepts this call
            return super().forward(input)
        factors, device = (input, self.weight, self.bias), input.device.type
        if torch.is_autocast_enabled(device):
            # Here, because the backward pass of a Function is not under autocast.
            dtype = torch.get_autocast_dtype(device)
            factors = tuple(x if x is None else x.to(dtype) for x in factors)  # type: ignore[assignment]
        x, weight, bias = factors
        maps = _convolve(x, weight, self.groups)
        return maps if bias is None else maps + bias[:, None, None]


def fits(module: nn.Module) -> bool:
    """Return whether `TwiceDifferentiatedConv2d` can compute a layer."""
    wanted = ((KERNEL, KERNEL), (STRIDE, STRIDE), (PADDING, PADDING), (1, 1), "zeros")
    return isinstance(module, nn.Conv2d) and wanted == (
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.padding_mode,
    )


def use_fast_double_backward(network: nn.Module) -> None:
    """Replace the classes of suitable convolutions in place; weights and names stay."""
    for module in network.modules():
        if type(module) is nn.Conv2d and fits(module):
            module.__class__ = TwiceDifferentiatedConv2d
