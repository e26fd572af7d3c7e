"""bfloat16 on processors with and without arithmetic for it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest
import torch
from tests.kernels import use_everywhere
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from d3gan.acceleration.convolutions import KERNELS
from d3gan.acceleration.precision import RoundedProducts, mixed_precision, multiplies_bfloat16

ROUNDING = 2**-7
"""The distance of two bfloat16 numbers, at most, relative to the larger one."""

PRODUCTS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "linear": lambda: (nn.Linear(40, 24), torch.randn(16, 40)),
    "convolution": lambda: (nn.Conv2d(8, 16, 4, 2, 1), torch.randn(4, 8, 16, 16)),
    "transposed": lambda: (nn.ConvTranspose2d(8, 16, 4, 2, 1), torch.randn(4, 8, 16, 16)),
    "first of G": lambda: (nn.ConvTranspose2d(20, 16, 4), torch.randn(4, 20, 1, 1)),
    "im2col": lambda: (nn.Conv2d(8, 16, 4, 2, 1, bias=False), torch.randn(4, 8, 8, 8)),
    "im2col transposed": lambda: (
        nn.ConvTranspose2d(8, 16, 4, 2, 1, bias=False),
        torch.randn(4, 8, 4, 4),
    ),
    "3x3": lambda: (nn.Conv2d(8, 16, 3, 1, 1, groups=2), torch.randn(4, 8, 8, 8)),
}


def computed(
    module: nn.Module, x: Tensor, products: AbstractContextManager[Any]
) -> dict[str, Tensor]:
    """Return the output and the gradients of a weighted sum of it."""
    x = x.clone().requires_grad_()
    with products:
        y = module(x)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad((y.float() * weights).sum(), [x, *module.parameters()])
    names = ["x", *(name for name, _ in module.named_parameters())]
    return {"y": y, **dict(zip(names, gradients, strict=True))}


class ExactProducts(TorchFunctionMode):
    """The definition: rounded factors, exact products and sums, rounded sums."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in RoundedProducts.PRODUCTS:
            return func(*args, **(kwargs or {}))
        factors = [x.bfloat16().double() if isinstance(x, Tensor) else x for x in args]
        return func(*factors, **(kwargs or {})).bfloat16()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_rounded_once_forward_and_backward(name: str, kernel: str) -> None:
    """Except sums, about one in ten thousand, that are halfway between two bfloat16 numbers."""
    torch.manual_seed(0)
    module, x = PRODUCTS[name]()
    use_everywhere(module, kernel)
    one = computed(module, x, ExactProducts())
    other = computed(module, x, RoundedProducts())
    for what, expected in one.items():
        assert other[what].dtype == expected.dtype, what
        assert (other[what] == expected).float().mean() > 0.999, what


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", PRODUCTS)
def test_autocast_computes_the_same(name: str, kernel: str) -> None:
    """Up to two roundings: without fast products autocast rounds partial sums as well."""
    torch.manual_seed(0)
    module, x = PRODUCTS[name]()
    use_everywhere(module, kernel)
    one = computed(module, x, torch.autocast("cpu", torch.bfloat16))
    other = computed(module, x, RoundedProducts())
    for what, expected in one.items():
        assert other[what].dtype == expected.dtype, what
        scale = expected.abs().max()
        assert (other[what] - expected).abs().max() <= 2 * ROUNDING * scale, what


def test_factors_and_sums_are_rounded() -> None:
    """1 + 2^-9 is 1 in bfloat16, with eight bits; 1 + 2^-7 is exact."""
    x = torch.tensor([[1 + 2**-9], [1 + 2**-7]])
    with RoundedProducts():
        product = x @ torch.ones(1, 1)
        squares = x @ x.T
    assert product.dtype == torch.bfloat16
    assert product.flatten().tolist() == [1, 1 + 2**-7]
    assert squares[1, 1].item() == 1 + 2**-6  # and not (1 + 2^-7)^2


def test_devices_with_fast_bfloat16_use_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, kind in (("AVX2", RoundedProducts), ("AVX512", torch.autocast)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", partial(str, capability))
        assert type(mixed_precision(torch.device("cpu"))) is kind
    assert multiplies_bfloat16(torch.device("cuda"))
