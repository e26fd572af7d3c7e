"""Devices of PyTorch, and what they lack.

MPS, the GPU of Macs, has no float64. Random numbers and sums of metrics, which are computed in
float64, are therefore computed on the CPU there, and training in float64 is refused.
"""

from typing import Any

import torch
from torch import Tensor

from d3gan.errors import UserError

CPU = torch.device("cpu")


def choose_device(name: str, processes: int = 1) -> torch.device:
    """Return the kind of device for "auto", "cpu", "cuda" or "mps": CUDA, then MPS, then the CPU.

    MPS computes for a single process only, because torch.distributed has no backend for it. Raises
    UserError if the device is not there.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "cuda" and not cuda:
        raise UserError("train.device = 'cuda': there is no CUDA device here; use auto or cpu")
    if name == "mps" and not mps:
        raise UserError("train.device = 'mps': there is no MPS device here; use auto or cpu")
    if name == "mps" and processes > 1:
        raise UserError(
            f"train.device = 'mps': {processes} processes cannot train on MPS; start one process, "
            "or use --train.device cpu"
        )
    if name == "auto":
        name = "cuda" if cuda else "mps" if mps and processes == 1 else "cpu"
    return torch.device(name)


def has_float64(device: torch.device) -> bool:
    """Return whether the device computes in float64."""
    return device.type != "mps"


def float64_device(device: torch.device) -> torch.device:
    """Return the device on which to compute in float64: the device itself, or else the CPU."""
    return device if has_float64(device) else CPU


def onto(x: Tensor, device: torch.device) -> Tensor:
    """Return `x` on the device, as float32 if it is float64 and the device has none."""
    if x.dtype is torch.float64 and not has_float64(device):
        x = x.float()
    return x.to(device)


def channels_last_format(device: torch.device) -> Any:
    """Return the memory format of images and weights: channels-last, or contiguous on MPS."""
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def gpu_names() -> list[str]:
    """Return the names of the GPUs that torch can use."""
    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return cuda or (["Apple GPU (MPS)"] if torch.backends.mps.is_available() else [])


def free_memory(device: torch.device) -> int | None:
    """Return the free memory of a GPU in bytes; None for the CPU."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        used = torch.mps.driver_allocated_memory()
        return max(0, torch.mps.recommended_max_memory() - used)
    return None


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
