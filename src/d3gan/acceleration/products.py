"""Matrix products by oneDNN.

torch multiplies float32 matrices with the BLAS that it was built with (MKL), and bfloat16 ones with
oneDNN. On some processors oneDNN's float32 products are faster: 200 instead of 150 GFLOP/s on two
cores of an AMD EPYC with AVX-512. torch has no public function for them; it has an operator of its
own, which its compiler uses, and which is looked up here.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function

ONEDNN_PRODUCT = "mkldnn::_linear_pointwise"
"""Name of the operator, [n, m] and [k, m] -> [n, k]."""


def has_onednn_product() -> bool:
    """Return whether this build of torch has oneDNN's product."""
    return bool(torch.backends.mkldnn.is_available()) and hasattr(
        torch.ops.mkldnn, "_linear_pointwise"
    )


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Return a @ b for matrices in any layout; oneDNN multiplies no fp64."""
    if a.dtype is torch.float64:
        return a @ b
    return torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], "")  # type: ignore[no-any-return]


class _OnednnProduct(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.set_materialize_grads(False)
        return _product(a, b)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        (gradient,), (a, b) = gradients, ctx.saved_tensors
        if gradient is None:
            return None, None
        of_a = onednn_product(gradient, b.T) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return of_a, None
        if b.stride(0) == 1:  # the gradient is laid out in memory like b
            return of_a, onednn_product(gradient.T, a).T
        return of_a, onednn_product(a.T, gradient)


def onednn_product(a: Tensor, b: Tensor) -> Tensor:
    """Return the product a @ b, [n, m] and [m, k] -> [n, k], in the precision of autocast."""
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        a, b = a.to(dtype), b.to(dtype)
    return cast(Tensor, _OnednnProduct.apply(a, b))  # type: ignore[no-untyped-call]
