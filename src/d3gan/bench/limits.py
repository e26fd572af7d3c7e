"""The limits of the device: how fast it multiplies large matrices, and copies memory."""

import torch

from d3gan.acceleration.precision import DTYPES, multiplies_bfloat16
from d3gan.acceleration.processor import computes_bfloat16, processor_features, processor_name
from d3gan.bench.timing import timed
from d3gan.devices import gpu_names
from d3gan.evaluation.numerics import float32_products


def device_limits(device: torch.device, precision: str) -> tuple[float, float]:
    """Return the operations per second of a large matrix product and bytes per second of a copy.

    A copy reads and writes, and both are counted.
    """
    dtype = DTYPES[precision]
    if precision == "bf16" and multiplies_bfloat16(device):
        dtype = torch.bfloat16
    side = 8192 if device.type == "cuda" else 1024
    a = torch.ones(side, side, device=device, dtype=dtype)
    with float32_products(tf32=precision == "tf32"):  # as the steps compute
        matmul = min(timed(lambda: a @ a, 1, device) for _ in range(5))
    x = torch.ones(2**28 if device.type == "cuda" else 2**25, device=device)
    y = torch.empty_like(x)
    copy = min(timed(lambda: y.copy_(x), 1, device) for _ in range(5))
    return 2 * side**3 / matmul, 2 * x.nbytes / copy


def limits_line(device: torch.device) -> str:
    """Return what computes, and how fast it multiplies large matrices."""
    cuda, precisions = device.type == "cuda", ["fp32"]
    if cuda or computes_bfloat16(device):
        precisions.append("bf16")
    if device.type != "cpu":
        name = gpu_names()[device.index or 0]
    else:
        count = torch.get_num_threads()
        threads = f"{count} thread{'s' * (count > 1)}"
        name = f"{processor_name()} ({', '.join(processor_features())}), {threads}"
    speeds = [f"{device_limits(device, each)[0] / 1e9:,.0f} in {each}" for each in precisions]
    return f"{name}; GFLOP/s of a large matrix product: {', '.join(speeds)}"
