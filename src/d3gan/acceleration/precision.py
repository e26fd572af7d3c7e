"""Types of numbers: of parameters, and of what is computed with them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from d3gan.acceleration.processor import computes_bfloat16, processor_name
from d3gan.devices import has_float64
from d3gan.errors import UserError

DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.float32,
    "fp64": torch.float64,
}
"""Type of parameters and images; tf32 and bf16 keep both in float32 and compute in TF32 or
bfloat16."""


def chosen_precision(device: torch.device) -> tuple[str, str]:
    """Return the precision that "auto" stands for on this device, and why."""
    if device.type == "mps":
        return "fp32", "nobody has measured bfloat16 on MPS"
    if device.type == "cuda":
        what = f"{torch.cuda.get_device_name(device)} multiplies bfloat16"
        why_not = "the device has a compute capability below 8.0"
    else:
        what = f"{processor_name()} multiplies bfloat16"
        why_not = f"{processor_name()} has neither AVX512_BF16 nor AMX"
    return ("bf16", what) if computes_bfloat16(device) else ("fp32", why_not)


def check_precision(precision: str, device: torch.device) -> None:
    """Raise UserError if the device cannot compute in this precision."""
    if precision == "fp64" and not has_float64(device):
        raise UserError(
            "train.precision = 'fp64': MPS has no float64; use fp32, or --train.device cpu"
        )
    if precision == "bf16" and not torch.amp.is_autocast_available(device.type):
        raise UserError(
            f"train.precision = 'bf16': this torch has no mixed precision on {device.type}; use "
            "fp32, or --train.device cpu"
        )


def compute_in_bfloat16(network: nn.Module) -> None:
    """Make the network's forward pass run in mixed precision and return float32.

    The network itself does not know of precision. A copy made afterwards would share the
    original's weights, so copy before.
    """
    forward = network.forward

    def cast(*inputs: Tensor, **options: Tensor | None) -> Tensor:
        with mixed_precision(inputs[0].device):
            output: Tensor = forward(*inputs, **options)
        return output.float()

    network.forward = cast


@contextmanager
def in_full_precision(network: nn.Module) -> Iterator[None]:
    """Undo `compute_in_bfloat16` within the block."""
    cast = network.__dict__.pop("forward", None)
    try:
        yield
    finally:
        if cast is not None:
            network.forward = cast


def mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which products are computed in bfloat16."""
    if multiplies_bfloat16(device):
        return torch.autocast(device.type, torch.bfloat16)
    return RoundedProducts()


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether torch has fast bfloat16 products for the device.

    On x86 processors without AVX-512 it multiplies number by number, 80 times slower than in
    float32.
    """
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != "AVX2"


class RoundedProducts(TorchFunctionMode):
    """Computes what torch.autocast to bfloat16 computes, with products in float32.

    A product of two bfloat16 numbers is exact in float32, in which bfloat16 units accumulate too
    (Intel 2018, "BFLOAT16 - Hardware numerics definition"). So the factors are rounded to bfloat16
    and multiplied in float32, and the sums are rounded, forward and backward. The result differs by
    the order of additions only.
    """

    PRODUCTS: frozenset[Callable[..., Tensor]] = frozenset(
        {functional.linear, torch.conv2d, torch.conv_transpose2d, torch.matmul, torch.Tensor.matmul}
    )
    """Products that our networks use."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in self.PRODUCTS:
            return func(*args, **kwargs)
        rounded = [x.bfloat16().float() if isinstance(x, Tensor) else x for x in args]
        return func(*rounded, **kwargs).bfloat16()
